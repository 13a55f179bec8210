"""The options that say where the verdicts of a stream are kept or sent, and what is shown of the frames."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edgead.cli.pictures_option import picture_options
from edgead.cli.video_option import video_options
from edgead.sinks import Sink, open_sink
from edgead.sinks.images import Pictures
from edgead.sinks.view.heat import Heat
from edgead.sources import Source

_save_option = click.option(
    "--save",
    "saves",
    metavar="FILE|URL",
    multiple=True,
    help="Keep verdicts in a .jsonl, .sqlite or .db file, send them to an https://, http://, mqtts:// or mqtt:// "
    "address, or move a gate: gpio://CHIP/LINE?on=reject,fault&pulse=200ms&delay=0; repeatable.",
)


@dataclass(frozen=True)
class Results:
    """saves: files and addresses for the verdicts. pictures: which frames a results database keeps. videos: files for
    annotated videos; encoder: what encodes them, a name for `open_sink`."""

    saves: tuple[str, ...]
    pictures: Pictures
    videos: tuple[Path, ...]
    encoder: str

    @property
    def files(self) -> list[Path]:
        """Of all that is written, what are files."""
        return [Path(save) for save in self.saves if "://" not in save] + list(self.videos)

    def check(self, cameras: Sequence[str], bundle: Path, log: Path | None) -> None:
        """Raise UsageError for results that would be written over each other, into the log, or over what is read."""
        if len(cameras) > 1 and self.videos:
            raise click.UsageError("--video shows one camera: give --camera once, or leave --video out")
        paths = [path.resolve() for path in (*map(Path, self.saves), *self.videos)]
        if len(set(paths)) < len(paths):
            raise click.UsageError("--save and --video name the same file twice")
        if log and log.resolve() in paths:
            raise click.UsageError("--log and --save or --video name the same file")
        read = {path.resolve() for path in (*map(Path, cameras), bundle)}
        if read & {*paths, *([log.resolve()] if log else [])}:
            raise click.UsageError("--save, --video or --log name a file that this run reads: give another")

    def open(self, source: Source, heat: Heat) -> list[Sink]:
        """A sink for each. source: the camera that a video shows. heat: the scale of its heat maps."""
        kept = [open_sink(save, pictures=self.pictures) for save in self.saves]
        return kept + [open_sink(video, source=source, scale=heat, encoder=self.encoder) for video in self.videos]


def results_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options; the command gets them as `results`, a Results."""

    @_save_option
    @picture_options
    @video_options
    @functools.wraps(function)
    def command(
        *arguments: Any,
        saves: tuple[str, ...],
        pictures: Pictures,
        videos: tuple[Path, ...],
        video_encoder: str,
        **named: Any,
    ) -> Any:
        return function(*arguments, results=Results(saves, pictures, videos, video_encoder), **named)

    return command
