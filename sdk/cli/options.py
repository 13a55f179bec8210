"""Options that several commands share, and options made from a dataclass: one name for a parameter and its option."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import click

from edgead.errors import EdgeadError

Function = TypeVar("Function", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
TARGETS = ("auto", "tensorrt", "tensorrt-rtx", "openvino")
PRECISIONS = ("fp32", "fp16", "int8", "mixed")

bundle_argument = click.argument("bundle", type=PATH)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
target_option = click.option(
    "--target", type=click.Choice(TARGETS), default="auto", show_default=True, help="Which runtime."
)
precision_option = click.option(
    "--precision", type=click.Choice(PRECISIONS), help="By default the one last built and verified."
)
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
    `defaults`, the help of its metadata."""

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
    choices = entry.metadata.get("choices")
    return click.option(f"--{name}", entry.name, type=click.Choice(choices) if choices else kind, **settings)


def take_options(kind: type[Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Remove from `arguments` what belongs to a dataclass, and return it."""
    return {entry.name: arguments.pop(entry.name) for entry in dataclasses.fields(kind)}


def as_text(document: Any) -> str:
    """JSON as edgead writes it: the same document gives the same text."""
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def print_json(document: Any) -> None:
    click.echo(as_text(document), nl=False)


def check_writable(path: Path) -> None:
    """Raise EdgeadError before long work whose result could not be written."""
    import os

    folder = next(parent for parent in (path if path.is_dir() else path.parent, *path.parents) if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK) or (path.is_file() and not os.access(path, os.W_OK)):
        raise EdgeadError("cannot be written", path, "check the permissions, or choose another place")
