"""Options that several commands share, and options made from a dataclass: one name for a parameter and its option."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from edgead.engines import targets
from edgead.errors import EdgeadError

Function = TypeVar("Function", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
TARGETS = ("auto", *targets.TARGETS)
PRECISIONS = ("fp32", "fp16", "int8", "mixed")
TARGET_HELP = "The runtime: TensorRT on an NVIDIA GPU, OpenVINO on a processor; auto: the first of them that runs here."
PRECISION_HELP = "What the network computes in; by default the one last built and verified."


class Number(click.FloatRange):
    """A number in a range, which NaN is in none of and infinity only where that is allowed."""

    def __init__(
        self, least: float | None = None, most: float | None = None, *, above: bool = False, infinite: bool = False
    ) -> None:
        """least, most: the range, without `least` itself where a number has to be above it."""
        super().__init__(least, most, min_open=above)
        self._infinite = infinite

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        number = float(super().convert(value, parameter, context))
        if math.isnan(number) or (math.isinf(number) and not self._infinite):
            self.fail(f"{value} is no number to keep to", parameter, context)
        return number


bundle_argument = click.argument("bundle", type=PATH)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
target_option = click.option(
    "--target", type=click.Choice(TARGETS), default="auto", show_default=True, help=TARGET_HELP
)
precision_option = click.option("--precision", type=click.Choice(PRECISIONS), help=PRECISION_HELP)
no_build_option = click.option(
    "--no-build",
    is_flag=True,
    help="Where an engine was not built for this device, its driver and runtime, end with an error instead of "
    "building it first.",
)
score_option = click.option(
    "--score",
    type=click.Choice(("max", "mean")),
    help="Another image score than the run's: the worst place, or the mean over the image, for defects that cover the "
    "part.",
)


def dataclass_options(kind: type[Any], defaults: Mapping[str, Any] | None = None) -> Callable[[Function], Function]:
    """A click option for every field of a dataclass: its name with dashes, its type, its default or the one in
    `defaults`, the help of its metadata, and in the metadata `range` the least and the most that a number may be."""

    def decorate(function: Function) -> Function:
        hints = get_type_hints(kind)
        for entry in reversed(dataclasses.fields(kind)):
            function = _option(entry, hints[entry.name], (defaults or {}).get(entry.name, entry.default))(function)
        return function

    return decorate


def _option(entry: dataclasses.Field[Any], hint: Any, default: Any) -> Callable[[Function], Function]:
    name = entry.name.replace("_", "-")
    optional = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
    kind = next(arg for arg in get_args(hint) if arg is not type(None)) if optional else hint
    settings: dict[str, Any] = {
        "default": default,
        "help": entry.metadata.get("help"),
        "show_default": default is not None,
    }
    if kind is bool:
        return click.option(f"--{name}/--no-{name}", entry.name, **settings)
    choices, limits = entry.metadata.get("choices"), entry.metadata.get("range")
    known = click.Choice(choices) if choices else Number(*limits) if limits else kind
    return click.option(f"--{name}", entry.name, type=known, **settings)


def take_options(kind: type[Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Remove from `arguments` what belongs to a dataclass, and return it."""
    return {entry.name: arguments.pop(entry.name) for entry in dataclasses.fields(kind)}


def as_text(document: Any) -> str:
    """JSON as edgead writes it: the same document gives the same text."""
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def print_json(document: Any) -> None:
    click.echo(as_text(document), nl=False)


def given(*names: str) -> list[str]:
    """Which of these parameters of the command that runs are on its command line, as `--options`."""
    context = click.get_current_context()
    options = {option.name: max(option.opts, key=len) for option in context.command.params}
    return [options[name] for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]


def check_writable(*files: Path | None, read: Sequence[Path] = ()) -> None:
    """Raise EdgeadError before long work whose results could not be written to these files, or would be written over
    what is read or over each other. None stands for a result that is not asked for."""
    taken = {path.resolve(): "it is read by the same command" for path in read}
    for path in filter(None, files):
        if path.is_dir():
            raise EdgeadError("this is a folder, not a file", path, "give the path of the file to write")
        if reason := taken.get(path.resolve()):
            raise EdgeadError(f"cannot be written: {reason}", path, "give another file")
        taken[path.resolve()] = "another result goes there"
        _check_place(path)


def check_folder(folder: Path) -> None:
    """Raise EdgeadError before long work whose results could not be written into a folder."""
    if folder.exists() and not folder.is_dir():
        raise EdgeadError("this is a file, not a folder", folder, "give a folder for the results")
    _check_place(folder)


def _check_place(path: Path) -> None:
    place = next(parent for parent in (path if path.is_dir() else path.parent, *path.parents) if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK) or (path.is_file() and not os.access(path, os.W_OK)):
        raise EdgeadError("cannot be written", path, "check the permissions, or choose another place")
