"""edgead stream part.edgead --camera SPEC"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from edgead.cli.options import PATH, bundle_argument, json_option, precision_option, print_json, target_option
from edgead.cli.rebuilding import build
from edgead.detector import Detector
from edgead.frame import LostFrame
from edgead.loading import load
from edgead.progress import progress_bar
from edgead.result import Result
from edgead.sinks import Sink, open_sink
from edgead.sources import Source, open_source
from edgead.streaming import Policy, Stream
from edgead.summary import Summary

SHOW_SECONDS = 0.5


@click.command("stream")
@bundle_argument
@click.option(
    "--camera",
    "cameras",
    metavar="SPEC",
    multiple=True,
    required=True,
    help="Camera index, /dev/video0, rtsp://, http://, csi://0, gst://, synthetic://, a video, image, folder or glob.",
)
@click.option(
    "--policy",
    type=click.Choice(["latest", "every"]),
    help="latest: the freshest frame, others are dropped and counted. "
    "every: no frame is dropped. By default latest for cameras, every for files.",
)
@click.option(
    "--save", "saves", type=PATH, multiple=True, help="Keep verdicts in a .jsonl, .sqlite or .db file; repeatable."
)
@click.option("--video", "videos", type=PATH, multiple=True, help="Keep an annotated .mp4 or .avi video.")
@click.option("--max-frames", type=click.IntRange(min=1), help="Stop after this many frames.")
@target_option
@precision_option
@click.option(
    "--no-build",
    is_flag=True,
    help="Where the engine was not built for this device, its driver and runtime, end with an error instead of "
    "building it first.",
)
@json_option
@click.option("--quiet", is_flag=True, help="No live line, no lost frames, no summary on the terminal.")
def stream_command(
    bundle: Path,
    cameras: tuple[str, ...],
    policy: Policy | None,
    saves: tuple[Path, ...],
    videos: tuple[Path, ...],
    max_frames: int | None,
    target: str,
    precision: str | None,
    no_build: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge every frame of a camera, a video or a folder.

    Ctrl-C and SIGTERM end the run with everything written; a second one ends it at once. The summary goes to standard
    error, with --json to standard output.
    """
    if len(cameras) > 1:
        raise click.UsageError(
            "this release watches one camera at a time: give --camera once, and start one process per camera"
        )
    if len({path.resolve() for path in (*saves, *videos)}) < len(saves) + len(videos):
        raise click.UsageError("--save and --video name the same file twice")
    source = open_source(cameras[0])
    with progress_bar() as progress:
        wanted = load(
            bundle,
            target=target,
            precision=precision,
            maps=False,
            overlay=bool(videos),
            build=not no_build and build,
            progress=progress,
        )
    with wanted as detector, _stop_on_signals() as stop:
        sinks = [open_sink(path) for path in saves] + [_video(path, source, detector) for path in videos]
        show = _Terminal(quiet)
        run = Stream(detector, source, policy=policy, sinks=sinks, on_fault=show.lost, stop=stop, max_frames=max_frames)
        try:
            with run, show:
                for result in run:
                    show.verdict(result, run.summary)
        finally:
            if as_json:
                print_json(run.summary.to_json())
            elif not quiet:
                click.echo("\n".join(run.summary.lines()), err=True)


def _video(path: Path, source: Source, detector: Detector) -> Sink:
    """A video whose heat map is half hot at the pixel threshold, the same in every frame."""
    threshold = detector.thresholds.pixel.value
    return open_sink(path, source=source, scale=(0.0, 2 * threshold) if threshold > 0 else None)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second signal ends the process at once, as if nobody had listened."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Terminal:
    """What people see on standard error while a run goes on: lost frames, and a live line where it is a terminal.

    A terminal that goes away ends nothing but this.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._shown = 0.0

    def __enter__(self) -> _Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._say("", end="")

    def lost(self, lost: LostFrame) -> None:
        """Say that a frame was lost."""
        self._say(f"lost frame {lost.frame_id} of {lost.source}: {lost.reason}")

    def verdict(self, result: Result, summary: Summary) -> None:
        """Renew the live line, at most twice a second."""
        if self._live and time.monotonic() - self._shown >= SHOW_SECONDS:
            counts = ", ".join(f"{count} {verdict.value}" for verdict, count in summary.verdicts.items())
            verdict = f"frame {result.frame_id}: {result.verdict.value} {result.pred_score:.3f}"
            line = f"{verdict}  |  {counts}  |  {summary.rate:.1f}/s"
            self._say(line[: shutil.get_terminal_size().columns - 1], end="")
            self._shown = time.monotonic()

    def _say(self, text: str, end: str = "\n") -> None:
        if self._quiet:
            return
        try:
            click.echo(("\r\x1b[2K" if self._live else "") + text + end, err=True, nl=False)
        except OSError:
            self._quiet, self._live = True, False
