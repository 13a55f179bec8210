"""The options that say which cameras are judged, and which of their frames."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from edgead.cli.options import Number
from edgead.sources import Source, open_source
from edgead.sources.stall import STALL_SECONDS
from edgead.streaming import Policy
from edgead.verdicts import Rules

_OPTIONS = (
    click.option(
        "--camera",
        "cameras",
        metavar="SPEC",
        multiple=True,
        required=True,
        help="Camera index, /dev/video0, rtsp://, http://, csi://0, gst://, synthetic://, watch:///folder, a video, "
        "image, folder or glob. Several are judged together, as many frames in one call of the engine as wait; "
        "repeatable.",
    ),
    click.option(
        "--stall",
        type=Number(0),
        default=STALL_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="Alarm where a camera gives no new picture, or the same one, for so long; 0: never.",
    ),
    click.option(
        "--wait", is_flag=True, help="Wait for a camera that is not there yet, instead of ending with an error."
    ),
    click.option(
        "--policy",
        type=click.Choice(["latest", "every"]),
        help="latest: the freshest frame, others are dropped and counted. "
        "every: no frame is dropped. By default latest for cameras, every for files.",
    ),
)


@dataclass(frozen=True)
class Cameras:
    """specs: one camera each, as `open_source` takes it; there is at least one. stall: seconds without a new picture
    before the alarm; 0: never. wait: whether to wait for one that is not there yet. policy: which frames are judged,
    by default as the source says."""

    specs: tuple[str, ...]
    stall: float
    wait: bool
    policy: Policy | None

    def open(self, rules: Rules) -> list[Source]:
        """The cameras. Raises UsageError for one without a name, and for rules that several of them cannot follow."""
        if not all(self.specs):
            raise click.UsageError("--camera names no camera: give an index, an address or a path")
        sources = [open_source(spec, stall=self.stall, wait=self.wait) for spec in self.specs]
        if len(sources) > 1 and rules.parts and rules.parts.from_outside:
            raise click.UsageError("a trigger from outside says nothing of which camera it is for: give one --camera")
        if len(sources) > 1 and (rules.hysteresis or rules.parts) and not all(each.live for each in sources):
            raise click.UsageError(
                "--hysteresis and --trigger follow cameras; several folders or videos have no such order"
            )
        return sources


def camera_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options; the command gets them as `cameras`, a Cameras."""

    @functools.wraps(function)
    def command(
        *arguments: Any, cameras: tuple[str, ...], stall: float, wait: bool, policy: Policy | None, **named: Any
    ) -> Any:
        return function(*arguments, cameras=Cameras(cameras, stall, wait, policy), **named)

    decorated: Callable[..., Any] = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
