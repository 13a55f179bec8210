"""The options that say which frames a results database keeps as pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgead.cli.options import Number
from edgead.sinks.images import Pictures

_DATABASES = (".sqlite", ".db")


_OPTIONS = {
    "accepts": click.option(
        "--keep-accepts",
        "accepts",
        type=Number(0, 1),
        metavar="SHARE",
        help=f"Keep pictures of this share of accepted frames in a database, 0 to 1.  [default: {Pictures.accepts}]",
    ),
    "rejects": click.option(
        "--keep-rejects/--no-keep-rejects",
        "rejects",
        default=None,
        help="Keep pictures of all other frames in a database.  [default: keep-rejects]",
    ),
    "format": click.option(
        "--picture-format",
        "format",
        type=click.Choice(("jpg", "png")),
        help=f"How pictures are kept; png is lossless, and slow.  [default: {Pictures.format}]",
    ),
    "quality": click.option(
        "--picture-quality",
        "quality",
        type=click.IntRange(1, 100),
        help=f"Of jpg pictures, 100 is best.  [default: {Pictures.quality}]",
    ),
    "max_bytes": click.option(
        "--pictures-max-gib",
        "max_bytes",
        type=Number(0, 1 << 20, above=True),
        metavar="GIB",
        help="Keep so many GiB of pictures at most; the oldest accepted ones go first.  "
        f"[default: {Pictures.max_bytes / (1 << 30):g}]",
    ),
    "max_days": click.option(
        "--pictures-max-days",
        "max_days",
        type=Number(0, above=True),
        metavar="DAYS",
        help=f"Keep no picture for more days.  [default: {Pictures.max_days:g}]",
    ),
}


def picture_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options; the command gets them as `pictures`, a Pictures. It needs its `--save` as `saves`."""

    @functools.wraps(function)
    def command(*arguments: Any, **named: Any) -> Any:
        given = {name: value for name in _OPTIONS if (value := named.pop(name)) is not None}
        if given and not any(map(is_database, named["saves"])):
            raise click.UsageError("pictures are kept beside a results database: give --save results.sqlite")
        return function(*arguments, pictures=_pictures(given), **named)

    decorated: Callable[..., Any] = command
    for option in reversed(_OPTIONS.values()):
        decorated = option(decorated)
    return decorated


def is_database(save: str) -> bool:
    """Whether `--save` names a results database."""
    return "://" not in save and Path(save).suffix.lower() in _DATABASES


def _pictures(given: dict[str, Any]) -> Pictures:
    if "max_bytes" in given:
        given["max_bytes"] = round(given["max_bytes"] * (1 << 30))
    if "quality" in given and given.get("format") == "png":
        raise click.UsageError("--picture-quality is for jpg: png pictures lose nothing")
    return Pictures(**given)
