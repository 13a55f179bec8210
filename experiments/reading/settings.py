"""Values for the fields of a dataclass: from a TOML file with their types, or from the command line as text."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from edgead.errors import TrainingError

_SWITCH = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def typed(kind: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values` with the types of the dataclass's fields. Raises TrainingError for a field that it does not have, a
    value of another type, and one that is none of the field's choices."""
    return {name: _typed(kind, name, value, where) for name, value in values.items()}


def parsed(kind: type[Any], name: str, text: str, where: str) -> Any:
    """A field's value from text. Raises TrainingError as `typed` does."""
    wanted = _type(kind, name, where)
    try:
        value = _SWITCH[text.lower()] if wanted is bool else wanted(text)
    except (ValueError, KeyError) as error:
        raise TrainingError(f"{name} is {text!r}", where, f"make it {_WORDS[wanted]}") from error
    return _typed(kind, name, value, where)


def _typed(kind: type[Any], name: str, value: Any, where: str) -> Any:
    wanted = _type(kind, name, where)
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise TrainingError(f"{name} is {value!r}", where, f"make it {_WORDS[wanted]}")
    (entry,) = (entry for entry in dataclasses.fields(kind) if entry.name == name)
    choices = entry.metadata.get("choices")
    if choices and value not in choices:
        raise TrainingError(f"there is no {name} {value!r}", where, f"choose one of {', '.join(choices)}")
    return value


def _type(kind: type[Any], name: str, where: str) -> type[Any]:
    """The type of a field, without None."""
    names = [entry.name for entry in dataclasses.fields(kind)]
    if name not in names:
        raise TrainingError(f"there is no option {name!r}", where, f"choose from {', '.join(sorted(names))}")
    hint = get_type_hints(kind)[name]
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (entry for entry in get_args(hint) if entry is not type(None))
    found: type[Any] = hint
    return found


def has(kind: type[Any], name: str) -> bool:
    """Whether a dataclass has a field of this name."""
    return any(entry.name == name for entry in dataclasses.fields(kind))
