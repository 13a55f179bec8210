"""What a line needs that runs as a service: settings in a file, signals, a log."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from edgead.errors import EdgeadError
from edgead.service.asked import Asked
from edgead.service.logs import log_to
from edgead.service.settings import read_settings

_LARGEST = 1 << 63  # of TOML's integers; a NaN and an infinity are not below it

Function = TypeVar("Function", bound=Callable[..., Any])


def service_options(function: Function) -> Function:
    """The options `--config`, which fills in the others, and `--log`."""
    decorators = (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=_fill_in,
            help="A TOML file with these options by name, as `camera = ['rtsp://...']`, and `bundle`; what the command "
            "line says goes before it.",
        ),
        click.option(
            "--log",
            type=click.Path(path_type=Path),
            help="Keep a log for machines in this file, a line of JSON each, and up to five old ones of 10 MiB.",
        ),
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def _fill_in(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """The settings become the options' defaults. Raises EdgeadError for a value that an option cannot have."""
    if path is None:
        return
    options = {}
    for each in context.command.params:
        if each.name and each.name not in ("config", "help"):
            longest = max(each.opts, key=len).lstrip("-")
            options[longest.replace("-", "_")] = each
    settings = read_settings(path, (name.replace("_", "-") for name in options))
    context.default_map = {}
    for name, value in settings.items():
        option, shown = options[name], name.replace("_", "-")
        if option.name is None:
            continue
        if isinstance(option, click.Option) and option.multiple:
            values = value if isinstance(value, list) else [value]
            context.default_map[option.name] = [_read(option, shown, each, path) for each in values]
        else:
            context.default_map[option.name] = _read(option, shown, value, path)


def _read(option: click.Parameter, name: str, value: object, path: Path) -> object:
    """A value as click takes it, which expects what a command line can say. Raises EdgeadError; what is no text it does
    not show, as there may be a secret in it."""
    kind = option.type
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST
    if isinstance(kind, click.types.BoolParamType):
        if not isinstance(value, bool):
            raise EdgeadError(f"{name!r} is neither true nor false", path, f"write {name} = true")
    elif isinstance(kind, click.types.IntParamType):
        if not number or not isinstance(value, int):
            raise EdgeadError(f"{name!r} is {repr(value)[:40]}, no whole number", path, f"write it as {name} = 10")
    elif isinstance(kind, click.types.FloatParamType):
        if not number:
            raise EdgeadError(f"{name!r} is {repr(value)[:40]}, no number", path, f"write it as {name} = 2.5")
    elif number and isinstance(kind, click.types.StringParamType):  # a camera by its index, an area in pixels
        return str(value)
    elif not isinstance(value, str) or "\0" in value:
        raise EdgeadError(f"{name!r} is no text", path, f'write it in quotes, as {name} = "..."')
    return value


@contextmanager
def asked_to_reload() -> Iterator[Asked]:
    """What SIGHUP asks for, as `systemctl reload` sends it. Where a terminal is watched, SIGHUP says that it was
    closed, and ends the run as ever."""
    asked = Asked()
    if sys.stdin is not None and sys.stdin.isatty():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = signal.signal(signal.SIGHUP, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second signal ends the process at once, as if nobody had listened."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def logging_to(path: Path | None) -> Iterator[None]:
    """With a log file, until the end of the block."""
    handler = log_to(path) if path else None
    try:
        yield
    finally:
        if handler:
            logging.getLogger("edgead").removeHandler(handler)
            handler.close()
