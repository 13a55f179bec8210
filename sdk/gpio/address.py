"""The address of a GPIO line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import unquote

from edgead.errors import DataError

T = TypeVar("T")

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(us|ms|s)")
_LONGEST_NUMBER = 10  # digits; the kernel counts lines in 32 bits
_LIKE = "give it like gpio://gpiochip0/22"


@dataclass(frozen=True)
class GpioAddress:
    """`gpio://CHIP/LINE?option=value&...`

    chip: its name, as in /dev, or its label. line: its offset on the chip, where it is a number, or its name. `%2F` is
    / and so on, in both and in the options.
    """

    chip: str
    line: str | int
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, known: Sequence[str]) -> GpioAddress:
        """The address in a text, which may have the options `known`, each once. Raises DataError that says what is
        wrong."""
        scheme, found, rest = text.partition("://")
        place, asks, query = rest.partition("?")
        chip, slash, line = place.partition("/")
        if scheme.lower() != "gpio" or not (found and chip and slash and line) or "/" in line:
            raise DataError("this is no address of a GPIO line", text, _LIKE)
        options: dict[str, str] = {}
        for item in query.split("&") if asks else ():
            key, _, value = item.partition("=")
            if key not in known or key in options:
                what = f"{key} comes twice" if key in options else f"there is no option {key or 'without a name'}"
                raise DataError(what, text, f"give some of {', '.join(known)}, each once")
            options[key] = unquote(value)
        chip, line = unquote(chip), unquote(line)
        if not (chip + line + "".join(options.values())).isprintable():
            raise DataError("this is no address of a GPIO line", ascii(text), _LIKE)
        number = line.isascii() and line.isdecimal()
        if number and len(line) > _LONGEST_NUMBER:
            raise DataError("no GPIO line has such a number", f"gpio://{chip}", _LIKE)
        return cls(chip, int(line) if number else line, options)

    @property
    def where(self) -> str:
        """What messages call the line."""
        return f"gpio://{self.chip}/{self.line}"

    def seconds(self, key: str, default: float, *, least: float = 0.0, most: float) -> float:
        """An option that is a time, `200ms`, `1.5s`, `500us` or 0. Raises DataError for another one, and for one that
        is not within `least` and `most`."""
        if key not in self.options:
            return default
        found = _SECONDS.fullmatch("0s" if self.options[key] == "0" else self.options[key])
        value = float(found[1]) * _UNITS[found[2]] if found else -1.0
        if not least <= value <= most:
            what = f"{key}={self.options[key]} is no time from {_plain(least)} to {_plain(most)}"
            raise DataError(what, self.where, f"give it with its unit, like {key}=200ms")
        return value

    def one_of(self, key: str, default: str, among: Mapping[str, T]) -> T:
        """What an option stands for. Raises DataError for one that is not `among` them."""
        given = self.options.get(key, default)
        if given not in among:
            raise DataError(f"{key}={given} is not known", self.where, f"give {key}={'|'.join(among)}")
        return among[given]


def _plain(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 or not seconds else f"{seconds * 1e3:g}ms"
