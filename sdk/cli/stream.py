"""edgead stream part.edgead --camera SPEC"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import click

from edgead.cli.options import (
    PATH,
    bundle_argument,
    json_option,
    no_build_option,
    precision_option,
    print_json,
    target_option,
)
from edgead.cli.rebuilding import build
from edgead.cli.rules_option import drawn_area, rules_options, ruling_of
from edgead.cli.service_option import asked_to_reload, logging_to, reload_bundle, service_options, stop_on_signals
from edgead.cli.terminal import Terminal
from edgead.cli.web_option import open_dashboard, web_options
from edgead.detector import Detector
from edgead.drift import Observer, Reference, Scene, Scores
from edgead.loading import load
from edgead.progress import progress_bar
from edgead.service.notify import ServiceManager
from edgead.sinks import Sink, open_sink
from edgead.sources import Source, open_source
from edgead.sources.several import Several
from edgead.sources.stall import STALL_SECONDS
from edgead.streaming import Policy, Stream
from edgead.verdicts import Rules, Scoring

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
@rules_options
@click.option(
    "--drift/--no-drift",
    help="Warn when light, focus, the camera's place or the scores of good parts change.",
)
@web_options
@service_options
@target_option
@precision_option
@no_build_option
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
    rules: Rules,
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
    sources = _open_sources(cameras, stall, wait, rules)
    source = sources[0] if len(sources) == 1 else Several(sources)
    with progress_bar() as progress:
        wanted = load(
            bundle,
            target=target,
            precision=precision,
            maps=rules.need_map or web is not None,
            overlay=bool(videos) or web is not None,
            build=not no_build and build,
            progress=progress,
        )
    manager = ServiceManager()
    with wanted as detector, stop_on_signals() as stop, asked_to_reload() as reload, logging_to(log):
        ruling = ruling_of(rules, detector, several=len(sources) > 1, changing=web is not None)

        def rescore() -> None:
            if ruling:
                ruling.scoring = Scoring.of(detector)

        sinks = [open_sink(path) for path in saves] + [_video(path, source, detector) for path in videos]
        names = [each.name for each in sources]
        files = [Path(path) for path in [*saves, *map(str, videos)] if "://" not in path]
        roi, on_roi = drawn_area(ruling)
        dashboard = open_dashboard(
            web,
            web_token_file,
            web_names,
            detector,
            title=bundle.stem,
            cameras=names,
            files=files,
            on_limits=rescore,
            on_roi=on_roi,
            roi=roi,
        )
        sinks += [dashboard] if dashboard else []
        show = Terminal(quiet)

        def turn() -> None:
            manager.alive()
            if reload.is_set():
                reload.clear()
                reload_bundle(manager, detector, bundle)
                rescore()

        run = Stream(
            detector,
            source,
            policy=policy,
            sinks=sinks,
            on_fault=show.lost,
            stop=stop,
            max_frames=max_frames,
            rules=ruling,
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


def _open_sources(cameras: Sequence[str], stall: float, wait: bool, rules: Rules) -> list[Source]:
    """The cameras. Raises UsageError for rules that several of them cannot follow."""
    sources = [open_source(camera, stall=stall, wait=wait) for camera in cameras]
    if len(sources) > 1 and rules.parts and rules.parts.trigger == "stdin":
        raise click.UsageError("a line on standard input says nothing of which camera it is for: give one --camera")
    if len(sources) > 1 and (rules.hysteresis or rules.parts) and not all(each.live for each in sources):
        raise click.UsageError(
            "--hysteresis and --trigger follow cameras; several folders or videos have no such order"
        )
    return sources


def _video(path: Path, source: Source, detector: Detector) -> Sink:
    """A video whose heat map is half hot at the pixel threshold, the same in every frame."""
    threshold = detector.thresholds.pixel.value
    return open_sink(path, source=source, scale=(0.0, 2 * threshold) if threshold > 0 else None)


def _observers(detector: Detector) -> list[Observer]:
    """What looks for changes; scores only where the bundle says what they were."""
    reference = Reference.of(detector.thresholds, detector.score_range)
    return [Scene(), Scores(reference)] if reference else [Scene()]
