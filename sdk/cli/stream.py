"""edgead stream part.edgead --camera SPEC"""

from __future__ import annotations

import logging
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
from edgead.cli.service_option import asked_to_reload, service_options
from edgead.cli.web_option import open_dashboard, web_options
from edgead.detector import Detector
from edgead.drift import Change, Observer, Reference, Scene, Scores
from edgead.errors import DataError, EdgeadError
from edgead.frame import LostFrame
from edgead.loading import load
from edgead.progress import progress_bar
from edgead.result import Result
from edgead.service.logs import log_to
from edgead.service.notify import ServiceManager
from edgead.service.reload import reload_thresholds
from edgead.sinks import Sink, open_sink
from edgead.sources import Source, open_source
from edgead.sources.several import Several
from edgead.sources.stall import STALL_SECONDS
from edgead.streaming import Policy, Stream
from edgead.summary import Summary
from edgead.verdicts import AreaLimit, Hysteresis, Line, PartFault, PartRule, Rules, Ruling, Scoring, parse_area

SHOW_SECONDS = 0.5
log_line = logging.getLogger(__name__)


@click.command("stream")
@bundle_argument
@click.option(
    "--camera",
    "cameras",
    metavar="SPEC",
    multiple=True,
    required=True,
    help="Camera index, /dev/video0, rtsp://, http://, csi://0, gst://, synthetic://, watch:///folder, a video, image, "
    "folder or glob. Several are judged together, as many frames in one call of the engine as wait.",
)
@click.option(
    "--stall",
    type=click.FloatRange(min=0),
    default=STALL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Alarm where a camera gives no new picture, or the same one, for so long; 0: never.",
)
@click.option("--wait", is_flag=True, help="Wait for a camera that is not there yet, instead of ending with an error.")
@click.option(
    "--policy",
    type=click.Choice(["latest", "every"]),
    help="latest: the freshest frame, others are dropped and counted. "
    "every: no frame is dropped. By default latest for cameras, every for files.",
)
@click.option(
    "--save",
    "saves",
    metavar="FILE|URL",
    multiple=True,
    help="Keep verdicts in a .jsonl, .sqlite or .db file, or send them to an http:// or https:// address; repeatable.",
)
@click.option("--video", "videos", type=PATH, multiple=True, help="Keep an annotated .mp4 or .avi video.")
@click.option("--max-frames", type=click.IntRange(min=1), help="Stop after this many frames.")
@click.option(
    "--roi",
    "rois",
    metavar="AREA",
    multiple=True,
    help='Look only here: corners "x,y x,y x,y" in shares of the frame, or a mask painted in white; repeatable.',
)
@click.option("--ignore", "ignored", metavar="AREA", multiple=True, help="Do not look here; repeatable.")
@click.option("--min-area", metavar="PIXELS|SHARE%", help="A defect has at least so many pixels of the frame, or 0.5%.")
@click.option("--hysteresis", metavar="K/N", help="Reject once K of the last N frames are rejected.")
@click.option(
    "--trigger",
    metavar="stdin|line:x1,y1,x2,y2",
    help="One verdict for each part: a line `part` or `part NAME` on standard input begins one, or something that "
    "crosses a line from the left to the right of who walks along it, in shares of the frame.",
)
@click.option(
    "--drift/--no-drift",
    help="Warn when light, focus, the camera's place or the scores of good parts change.",
)
@web_options
@service_options
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
    saves: tuple[str, ...],
    videos: tuple[Path, ...],
    max_frames: int | None,
    stall: float,
    wait: bool,
    rois: tuple[str, ...],
    ignored: tuple[str, ...],
    min_area: str | None,
    hysteresis: str | None,
    trigger: str | None,
    drift: bool,
    web: str | None,
    web_token_file: Path | None,
    web_names: tuple[str, ...],
    log: Path | None,
    target: str,
    precision: str | None,
    no_build: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge every frame of a camera, a video or a folder.

    Ctrl-C and SIGTERM end the run with everything written; a second one ends it at once. SIGHUP reads the thresholds of
    the bundle again. The summary goes to standard error, with --json to standard output.
    """
    if len(cameras) > 1 and videos:
        raise click.UsageError("--video shows one camera: give --camera once, or leave --video out")
    if len({Path(path).resolve() for path in [*saves, *map(str, videos)]}) < len(saves) + len(videos):
        raise click.UsageError("--save and --video name the same file twice")
    rules = Rules(
        roi=tuple(map(parse_area, rois)),
        ignore=tuple(map(parse_area, ignored)),
        min_area=AreaLimit.parse(min_area) if min_area else None,
        hysteresis=Hysteresis.parse(hysteresis) if hysteresis else None,
        parts=_parts(trigger) if trigger else None,
    )
    sources = [open_source(camera, stall=stall, wait=wait) for camera in cameras]
    source = sources[0] if len(sources) == 1 else Several(sources)
    with progress_bar() as progress:
        wanted = load(
            bundle,
            target=target,
            precision=precision,
            maps=rules.need_map,
            overlay=bool(videos) or web is not None,
            build=not no_build and build,
            progress=progress,
        )
    manager = ServiceManager()
    with wanted as detector, _stop_on_signals() as stop, asked_to_reload() as reload, _logging(log):
        sinks = [open_sink(path) for path in saves] + [_video(path, source, detector) for path in videos]
        names = [each.name for each in sources]
        files = [Path(path) for path in [*saves, *map(str, videos)] if "://" not in path]
        dashboard = open_dashboard(
            web, web_token_file, web_names, detector, title=bundle.stem, cameras=names, files=files
        )
        sinks += [dashboard] if dashboard else []
        show = _Terminal(quiet)

        def turn() -> None:
            manager.alive()
            if reload.is_set():
                reload.clear()
                _reload(manager, detector, bundle)

        run = Stream(
            detector,
            source,
            policy=policy,
            sinks=sinks,
            on_fault=show.lost,
            stop=stop,
            max_frames=max_frames,
            rules=Ruling(rules, Scoring.of(detector)) if rules != Rules() else None,
            observers=_observers(detector) if drift else (),
            on_change=show.changed,
            on_turn=turn,
        )
        if dashboard:
            dashboard.watch(lambda: run.summary)
        try:
            with run, show:
                manager.ready(f"watching {source.name}")
                log_line.info("watching %s with %s", source.name, bundle)
                for result in run:
                    show.verdict(result, run.summary)
        finally:
            manager.stopping()
            if as_json:
                print_json(run.summary.to_json())
            elif not quiet:
                click.echo("\n".join(run.summary.lines()), err=True)


@contextmanager
def _logging(path: Path | None) -> Iterator[None]:
    """With a log file, until the end of the block."""
    handler = log_to(path) if path else None
    try:
        yield
    finally:
        if handler:
            logging.getLogger("edgead").removeHandler(handler)
            handler.close()


def _reload(manager: ServiceManager, detector: Detector, bundle: Path) -> None:
    """The thresholds of the bundle as it is now; what is wrong with it is said, and changes nothing."""
    manager.reloading()
    try:
        log_line.warning("reloaded %s: %s", bundle, reload_thresholds(detector, bundle))
    except EdgeadError as error:
        log_line.warning("not reloaded: %s", error)
    manager.ready()


def _video(path: Path, source: Source, detector: Detector) -> Sink:
    """A video whose heat map is half hot at the pixel threshold, the same in every frame."""
    threshold = detector.thresholds.pixel.value
    return open_sink(path, source=source, scale=(0.0, 2 * threshold) if threshold > 0 else None)


def _parts(trigger: str) -> PartRule:
    if trigger == "stdin":
        return PartRule("stdin")
    kind, _, place = trigger.partition(":")
    if kind != "line":
        raise DataError("there is no such trigger", trigger, "give stdin, or line:x1,y1,x2,y2")
    return PartRule(Line.parse(place))


def _observers(detector: Detector) -> list[Observer]:
    """What looks for changes; scores only where the bundle says what they were."""
    reference = Reference.of(detector.thresholds, detector.score_range)
    return [Scene(), Scores(reference)] if reference else [Scene()]


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
        """Say that a frame was lost, or that a part has no verdict."""
        what = "at frame" if isinstance(lost, PartFault) else "lost frame"
        self._say(f"{what} {lost.frame_id} of {lost.source}: {lost.reason}")

    def changed(self, change: Change) -> None:
        """Say that the scene or the scores changed."""
        self._say(f"warning: at frame {change.frame_id} of {change.source} {change.text}")

    def verdict(self, result: Result, summary: Summary) -> None:
        """Renew the live line, at most twice a second."""
        if self._live and time.monotonic() - self._shown >= SHOW_SECONDS:
            counts = ", ".join(f"{count} {verdict.value}" for verdict, count in summary.verdicts.items())
            what = f"part {result.part.name}" if result.part else f"frame {result.frame_id}"
            verdict = f"{what}: {result.verdict.value} {result.pred_score:.3f}"
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
