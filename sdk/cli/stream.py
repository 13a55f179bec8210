"""edgead stream part.edgead --camera SPEC"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.cli.cameras_option import Cameras, camera_options
from edgead.cli.line import Line
from edgead.cli.options import (
    bundle_argument,
    json_option,
    no_build_option,
    precision_option,
    print_json,
    target_option,
)
from edgead.cli.rebuilding import build
from edgead.cli.results_option import Results, results_options
from edgead.cli.rules_option import drawn_area, drawn_ignored, rules_options, ruling_of
from edgead.cli.service_option import asked_to_reload, logging_to, service_options, stop_on_signals
from edgead.cli.show_option import open_window, show_option
from edgead.cli.terminal import Terminal
from edgead.cli.web_option import open_dashboard, show_thresholds, web_options
from edgead.detector import Detector
from edgead.drift import EachCamera, Reference, Scene, Scores
from edgead.loading import load
from edgead.progress import progress_bar
from edgead.selftest import self_test
from edgead.service.asked import Asked
from edgead.service.notify import ServiceManager
from edgead.service.swap import Renewal
from edgead.streaming import Stream
from edgead.verdicts import Rules, Scoring

if TYPE_CHECKING:
    from edgead.web import Dashboard

log_line = logging.getLogger(__name__)


@click.command("stream")
@bundle_argument
@camera_options
@results_options
@show_option
@click.option("--max-frames", type=click.IntRange(min=1), help="Stop after this many frames.")
@rules_options
@click.option(
    "--drift/--no-drift",
    default=False,
    show_default=True,
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
    cameras: Cameras,
    results: Results,
    show_window: bool,
    max_frames: int | None,
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
    results.check(cameras.specs, bundle, log)
    sources = cameras.open(rules)
    watched = show_window or web is not None
    open_detector = functools.partial(
        load,
        bundle,
        target=target,
        precision=precision,
        maps=rules.need_map or watched,
        overlay=bool(results.videos) or watched,
        build=not no_build and build,
    )
    with progress_bar() as progress:
        detector = open_detector(progress=progress)
    manager, show = ServiceManager(), Terminal(quiet)
    with Line(detector, sources) as line, stop_on_signals() as stop, asked_to_reload() as reload, logging_to(log):
        self_test(detector).require(str(bundle))
        _add_rules(line, rules, changing=web is not None)
        line.sinks += results.open(sources[0], line.heat)
        if window := open_window(show_window, stop, title=bundle.stem, cameras=line.names, heat=line.heat):
            line.sinks.append(window)
        dashboard = _add_dashboard(line, web, web_token_file, web_names, title=bundle.stem, files=results.files)
        if drift:
            _add_drift(line)
        run = line.stream(cameras.policy, max_frames, stop, show)
        if dashboard:
            dashboard.watch(lambda: run.summary)
        with _renewal(line, bundle, open_detector, reload, precision, manager) as renewal:
            line.turns += [manager.alive, renewal.turn]
            try:
                _judge(run, show, manager, " + ".join(line.names), bundle)
            finally:
                if as_json:
                    print_json(run.summary.to_json())
                elif not quiet:
                    click.echo("\n".join(run.summary.lines()), err=True)
    if renewal.left_behind:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # everything is written and closed, and a compiler that cannot be stopped is not waited for


def _judge(run: Stream, show: Terminal, manager: ServiceManager, cameras: str, bundle: Path) -> None:
    """The run, from its first frame until everything is written."""
    with run, show:
        manager.ready(f"watching {cameras}")
        log_line.info("watching %s with %s", cameras, bundle)
        try:
            for result in run:
                show.verdict(result, run.summary)
        finally:
            manager.stopping()


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


def _add_rules(line: Line, rules: Rules, *, changing: bool) -> None:
    """Apply rules to the verdicts. changing: whether they may come later."""
    ruling = ruling_of(rules, line.detector.judging, several=len(line.sources) > 1, changing=changing)
    if ruling is None:
        return

    def rescore(detector: Detector) -> None:
        ruling.scoring = Scoring.of(detector)

    def require_room(detector: Detector) -> None:
        if ruling.rules.need_map:
            Scoring.of(detector).require_map()
            ruling.require_room((detector.height, detector.width))

    line.rules = ruling
    line.follow(rescore)
    line.require(require_room)


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
    line.observers += [EachCamera(Scene, line.names), scores]
