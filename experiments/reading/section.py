"""Tables of a TOML file, read strictly: each key has a type, and one that nobody asked for is an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edgead.errors import DataError
from edgead.experiments.reading.number import Number, published

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = TypeVar("Kind")
_WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


@dataclass
class Section:
    """One table of a file. `close` refuses the keys that have not been taken."""

    path: Path
    name: str
    values: Mapping[str, Any]
    _asked: set[str] = field(default_factory=set)

    def fault(self, what: str, todo: str) -> DataError:
        """An error that names the file and the table."""
        return DataError(what, f"{self.path}{f', {self.name}' if self.name else ''}", todo)

    def take(self, key: str, kind: type[Kind], default: Kind | None = None) -> Kind:
        """The value of a key, of exactly this type. Raises DataError where it is another, or missing without a
        default."""
        self._asked.add(key)
        if key not in self.values:
            if default is not None:
                return default
            raise self.fault(f"{key} is missing", f"add {key}, {_WORDS[kind]}")
        value = self.values[key]
        if type(value) is not kind:
            raise self.fault(f"{key} is {value!r}", f"make it {_WORDS[kind]}")
        return value

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> str:
        """Text that is one of `known`."""
        value = self.take(key, str, default)
        if value not in known:
            raise self.fault(f"there is no {key} {value!r}", f"choose one of {', '.join(known)}")
        return value

    def percent(self, key: str) -> Number | None:
        """A number 0..100, or text such as "88.4 ± 4.5 (4)", or None where the key is missing."""
        self._asked.add(key)
        value = self.values.get(key)
        if value is None:
            return None
        if type(value) in (int, float) and 0 <= value <= 100:
            return Number(float(value))
        try:
            return published(value)
        except (ValueError, TypeError) as error:
            todo = 'make it a number from 0 to 100, or text such as "88.4 ± 4.5" or "88.4 ± 4.5 (4)"'
            raise self.fault(f"{key} is {value!r}", todo) from error

    def count(self, key: str) -> int | None:
        """A whole number of at least 1, or None where the key is missing."""
        if key not in self.values:
            self._asked.add(key)
            return None
        value = self.take(key, int)
        if value < 1:
            raise self.fault(f"{key} is {value}", "make it 1 or more")
        return value

    def seeds(self, key: str) -> tuple[int, ...]:
        """A list of different whole numbers of at least 0; none where the key is missing."""
        values = self.take(key, list, [])
        if not all(type(value) is int and value >= 0 for value in values) or len(set(values)) < len(values):
            raise self.fault(f"{key} is {values!r}", "make it a list of different whole numbers, such as [0, 1, 2]")
        return tuple(values)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of text; none where the key is missing."""
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise self.fault(f"{key} is {values!r}", "make it a list of text")
        return tuple(values)

    def table(self, key: str) -> Section:
        """The table of a key; an empty one where the key is missing."""
        return Section(self.path, f"{self.name}.{key}".lstrip("."), self.take(key, dict, {}))

    def tables(self, key: str) -> Iterator[tuple[str, Section]]:
        """The tables in the table of a key, by their names."""
        outer = self.table(key)
        for name in outer.values:
            yield name, outer.table(name)

    def close(self) -> None:
        """Raise DataError for a key that means nothing here."""
        for key in self.values:
            if key not in self._asked:
                raise self.fault(f"there is nothing called {key!r}", f"it may have {', '.join(sorted(self._asked))}")


def read_toml(path: Path) -> Section:
    """The whole of a file. Raises DataError where it is missing or no TOML."""
    try:
        return Section(path, "", tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise DataError(f"the experiment cannot be read ({error.strerror})", path, "check the path") from error
    except ValueError as error:
        raise DataError(f"the experiment is no TOML ({error})", path, "correct the file") from error
