"""`--config` and `--log`: what a line needs that runs as a service."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from edgead.service.settings import read_settings

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
    """The settings become the options' defaults."""
    if path is None:
        return
    names = {}
    for each in context.command.params:
        if each.name and each.name not in ("config", "help"):
            longest = max(each.opts, key=len).lstrip("-")
            names[longest.replace("-", "_")] = each.name
    settings = read_settings(path, (name.replace("_", "-") for name in names))
    context.default_map = {names[name]: value for name, value in settings.items()}


@contextmanager
def asked_to_reload() -> Iterator[threading.Event]:
    """An event that SIGHUP sets, as `systemctl reload` sends it."""
    asked = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = signal.signal(signal.SIGHUP, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, before)
