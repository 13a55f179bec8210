"""`--video`: annotated videos of a stream, and what encodes them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgead.cli.options import PATH
from edgead.sinks.view.encoders import AUTO, ELEMENTS, OPENCV

_OPTIONS = (
    click.option(
        "--video", "videos", type=PATH, multiple=True, help="Keep an annotated .mp4 or .avi video; repeatable."
    ),
    click.option(
        "--video-encoder",
        metavar="auto|opencv|NAME",
        help="What encodes an .mp4: OpenCV, or one of GStreamer's: "
        f"{', '.join(ELEMENTS)}. By default the first of those that works here, else OpenCV.",
    ),
)


def video_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options; the command gets them as `videos`, paths, and `video_encoder`, a name for `open_sink`."""

    @functools.wraps(function)
    def command(*arguments: Any, videos: tuple[Path, ...], video_encoder: str | None, **named: Any) -> Any:
        if video_encoder and not videos:
            raise click.UsageError("--video-encoder needs --video")
        if video_encoder not in (None, AUTO, OPENCV) and any(path.suffix.lower() != ".mp4" for path in videos):
            raise click.UsageError(f"{video_encoder} writes .mp4 videos: name the video so")
        return function(*arguments, videos=videos, video_encoder=video_encoder or AUTO, **named)

    decorated: Callable[..., Any] = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
