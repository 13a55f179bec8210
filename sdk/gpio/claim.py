"""Taking a line of a GPIO chip for oneself, and why that is not possible."""

from __future__ import annotations

import difflib
import errno
import grp
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from edgead.errors import SourceError
from edgead.gpio.address import GpioAddress

if TYPE_CHECKING:
    import gpiod

DEVICES = Path("/dev")
CONSUMER = "edgead"  # what other programs see in the line's information
_MOST_NAMES = 8  # of lines that a message lists

_INSTALL = 'pip install "edgead[gpio]"'


def need_gpiod(where: str) -> None:
    """Raises SourceError where the second libgpiod's module `gpiod` cannot be imported."""
    try:
        module = importlib.import_module("gpiod")
    except ImportError:
        raise SourceError("GPIO needs the package gpiod", where, _INSTALL) from None
    if not hasattr(module, "LineSettings"):  # as distributions package the first libgpiod's
        raise SourceError("the package gpiod that is installed is of libgpiod 1", where, _INSTALL)


def claim(address: GpioAddress, settings: gpiod.LineSettings, *, buffer: int | None = None) -> gpiod.LineRequest:
    """The line, for this process alone until it is released. buffer: edges that the kernel keeps.

    Raises SourceError that says what is in the way and, where that helps, which chips and lines there are.
    """
    import gpiod

    path = _find(address)
    try:
        with gpiod.Chip(str(path)) as chip:
            offset = _offset(chip, address)
            try:
                return chip.request_lines({offset: settings}, consumer=CONSUMER, event_buffer_size=buffer)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                user = chip.get_line_info(offset).consumer or "another program"
                todo = "stop that, or give another line; `gpioinfo` lists who uses which"
                raise SourceError(f"the line is in use by {user}", address.where, todo) from None
    except PermissionError:
        raise _forbidden(path, address) from None
    except OSError as error:
        what = f"the chip does not give this line: {error.strerror}"
        raise SourceError(what, address.where, "check that the chip can do what the options ask for") from error


def _find(address: GpioAddress) -> Path:
    """The device of the chip of that name, or of the only one with that label."""
    import gpiod

    devices = {path.name: path for path in sorted(DEVICES.glob("gpiochip*")) if gpiod.is_gpiochip_device(str(path))}
    if not devices:
        todo = f"give this machine, or its container, one in {DEVICES}"
        raise SourceError("there is no GPIO chip", address.where, todo)
    if address.chip in devices:
        return devices[address.chip]
    labels: dict[Path, str] = {}
    closed = []
    for path in dict.fromkeys(path.resolve() for path in devices.values()):  # some boards name a chip twice
        try:
            with gpiod.Chip(str(path)) as chip:
                labels[path] = chip.get_info().label
        except PermissionError:
            closed.append(path)
    there = ", ".join(f"{path.name} ({label})" for path, label in labels.items())
    matching = [path for path, label in labels.items() if label == address.chip]
    if len(matching) > 1:
        raise SourceError(f"{len(matching)} chips have this label", address.where, f"name one: {there}")
    if not matching and closed:
        raise _forbidden(closed[0], address)
    if not matching:
        raise SourceError("there is no such GPIO chip", address.where, f"give one of {there}")
    return matching[0]


def _offset(chip: gpiod.Chip, address: GpioAddress) -> int:
    try:
        return chip.line_offset_from_id(address.line)
    except (FileNotFoundError, ValueError):
        count = chip.get_info().num_lines
        names = [name for offset in range(count) if (name := chip.get_line_info(offset).name)]
        near = difflib.get_close_matches(str(address.line), names, _MOST_NAMES) or names[:_MOST_NAMES]
        named = f", or a name like {', '.join(near)}" if near else "; its lines have no names"
        raise SourceError("the chip has no such line", address.where, f"give 0 to {count - 1}{named}") from None


def _forbidden(path: Path, address: GpioAddress) -> SourceError:
    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (KeyError, OSError):
        group = "root"
    rule = 'give it to one by a udev rule: SUBSYSTEM=="gpio", GROUP="gpio", MODE="0660"'
    todo = rule if group == "root" else f"add this user to its group: sudo usermod -aG {group} USER, and log in again"
    return SourceError(f"there is no permission for {path}", address.where, todo)
