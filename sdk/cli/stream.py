"""edgead stream part.edgead --camera SPEC"""

from __future__ import annotations

import functools
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.cli.line import Line
from edgead.cli.options import (
    bundle_argument,
    json_option,
    no_build_option,
    precision_option,
    print_json,
    target_option,
)
from edgead.cli.pictures_option import picture_options
from edgead.cli.rebuilding import build
from edgead.cli.rules_option import drawn_area, drawn_ignored, rules_options, ruling_of
from edgead.cli.service_option import asked_to_reload, logging_to, service_options, stop_on_signals
from edgead.cli.show_option import open_window, show_option
from edgead.cli.terminal import Terminal
from edgead.cli.video_option import video_options
from edgead.cli.web_option import open_dashboard, show_thresholds, web_options
from edgead.detector import Detector
from edgead.drift import Reference, Scene, Scores
from edgead.loading import load
from edgead.progress import progress_bar
from edgead.selftest import self_test
from edgead.service.asked import Asked
from edgead.service.notify import ServiceManager
from edgead.service.swap import Renewal
from edgead.sinks import open_sink
from edgead.sinks.images import Pictures
from edgead.sources import Source, open_source
from edgead.sources.stall import STALL_SECONDS
from edgead.streaming import Policy, Stream
from edgead.verdicts import Rules, Scoring

if TYPE_CHECKING:
    from edgead.web import Dashboard

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
    help="Keep verdicts in a .jsonl, .sqlite or .db file, send them to an https://, http://, mqtts:// or mqtt:// "
    "address, or move a gate: gpio://CHIP/LINE?on=reject,fault&pulse=200ms&delay=0; repeatable.",
)
@picture_options
@video_options
@show_option
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
    pictures: Pictures,
    videos: tuple[Path, ...],
    video_encoder: str,
    show_window: bool,
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

    Ctrl-C and SIGTERM end the run with everything written; a second one ends it at once. SIGHUP takes over what the
    bundle holds by then, other thresholds or another detector, and no frame is lost. The summary goes to standard
    error, with --json to standard output.
    """
    _check_files(cameras, saves, videos)
    sources = _open_sources(cameras, stall, wait, rules)
    open_detector = functools.partial(
        load,
        bundle,
        target=target,
        precision=precision,
        maps=rules.need_map or web is not None or show_window,
        overlay=bool(videos) or web is not None or show_window,
        build=not no_build and build,
    )
    with progress_bar() as progress:
        detector = open_detector(progress=progress)
    manager = ServiceManager()
    with Line(detector, sources) as line, stop_on_signals() as stop, asked_to_reload() as reload, logging_to(log):
        self_test(detector).require(str(bundle))
        _add_rules(line, rules, changing=web is not None)
        line.sinks += [open_sink(path, pictures=pictures) for path in saves]
        line.sinks += [open_sink(path, source=sources[0], scale=line.heat, encoder=video_encoder) for path in videos]
        if window := open_window(show_window, stop, title=bundle.stem, cameras=line.names, heat=line.heat):
            line.sinks.append(window)
        files = [Path(path) for path in [*saves, *map(str, videos)] if "://" not in path]
        dashboard = _add_dashboard(line, web, web_token_file, web_names, title=bundle.stem, files=files)
        if drift:
            _add_drift(line)
        show = Terminal(quiet)
        run = Stream(
            line.detector,
            line.sources,
            policy=policy,
            sinks=line.sinks,
            on_fault=show.lost,
            stop=stop,
            max_frames=max_frames,
            rules=line.rules,
            observers=line.observers,
            on_change=show.changed,
            on_turn=line.turn,
        )
        line.count_in(run.summary)
        if dashboard:
            dashboard.watch(lambda: run.summary)
        with _renewal(line, bundle, open_detector, reload, precision, manager) as renewal:
            line.turns += [manager.alive, renewal.turn]
            try:
                with run, show:
                    manager.ready(f"watching {' + '.join(line.names)}")
                    log_line.info("watching %s with %s", " + ".join(line.names), bundle)
                    try:
                        for result in run:
                            show.verdict(result, run.summary)
                    finally:
                        manager.stopping()
            finally:
                if as_json:
                    print_json(run.summary.to_json())
                elif not quiet:
                    click.echo("\n".join(run.summary.lines()), err=True)
    if renewal.left_behind:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # everything is written and closed, and a compiler that cannot be stopped is not waited for


def _renewal(
    line: Line,
    bundle: Path,
    open_detector: Callable[..., Detector],
    asked: Asked,
    precision: str | None,
    manager: ServiceManager,
) -> Renewal:
    """What takes over the bundle as it is when somebody asks for that."""
    return Renewal(
        line.detector,
        bundle,
        lambda progress: open_detector(progress=progress),
        asked,
        precision=precision,
        admit=line.admit,
        renewed=line.tell,
        manager=manager,
        lock=line.lock,
    )


def _check_files(cameras: Sequence[str], saves: Sequence[str], videos: Sequence[Path]) -> None:
    """Raise UsageError for results that would be written over each other."""
    if len(cameras) > 1 and videos:
        raise click.UsageError("--video shows one camera: give --camera once, or leave --video out")
    if len({Path(path).resolve() for path in [*saves, *map(str, videos)]}) < len(saves) + len(videos):
        raise click.UsageError("--save and --video name the same file twice")


def _open_sources(cameras: Sequence[str], stall: float, wait: bool, rules: Rules) -> list[Source]:
    """The cameras. Raises UsageError for rules that several of them cannot follow."""
    if not math.isfinite(stall):
        raise click.UsageError(f"--stall takes seconds, not {stall}")
    sources = [open_source(camera, stall=stall, wait=wait) for camera in cameras]
    if len(sources) > 1 and rules.parts and rules.parts.from_outside:
        raise click.UsageError("a trigger from outside says nothing of which camera it is for: give one --camera")
    if len(sources) > 1 and (rules.hysteresis or rules.parts) and not all(each.live for each in sources):
        raise click.UsageError(
            "--hysteresis and --trigger follow cameras; several folders or videos have no such order"
        )
    return sources


def _add_rules(line: Line, rules: Rules, *, changing: bool) -> None:
    """Apply rules to the verdicts. changing: whether they may come later."""
    ruling = ruling_of(rules, line.detector.judging, several=len(line.sources) > 1, changing=changing)
    if ruling is None:
        return

    def rescore(detector: Detector) -> None:
        ruling.scoring = Scoring.of(detector)

    def require_map(detector: Detector) -> None:
        if ruling.rules.need_map:
            Scoring.of(detector).require_map()

    line.rules = ruling
    line.follow(rescore)
    line.require(require_map)


def _add_dashboard(
    line: Line, web: str | None, token_file: Path | None, names: Sequence[str], *, title: str, files: Sequence[Path]
) -> Dashboard | None:
    """The dashboard, where one is asked for."""
    ruling = line.rules
    roi, on_roi = drawn_area(ruling)
    ignore, on_ignore = drawn_ignored(ruling)

    def rescore() -> None:
        if ruling is not None:
            ruling.scoring = replace(ruling.scoring, bands=line.detector.bands)

    dashboard = open_dashboard(
        web,
        token_file,
        names,
        line.detector,
        title=title,
        cameras=line.names,
        files=files,
        on_limits=rescore,
        on_roi=on_roi,
        roi=roi,
        on_ignore=on_ignore,
        ignore=ignore,
        heat=line.heat,
        lock=line.lock,
    )
    if dashboard is not None:
        line.sinks.append(dashboard)
        line.follow(lambda detector: show_thresholds(dashboard, detector))
    return dashboard


def _add_drift(line: Line) -> None:
    """Look for changes; of scores only where the bundle says what they were."""
    scores = Scores(None)

    def compare(detector: Detector) -> None:
        remembered = detector.bundle.manifest.variant(detector.precision).good_scores
        scores.compare_with(Reference.of(detector.thresholds, detector.score_range, remembered))

    line.follow(compare)
    line.observers += [Scene(), scores]
