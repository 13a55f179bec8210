"""Rules and observers inside a run: what reaches the caller, the sinks and the summary."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import cv2
import numpy as np
import pytest

import edgead
from edgead.bands import Bands
from edgead.cli.main import main
from edgead.drift import Change, Scene
from edgead.errors import DataError, EngineError, FrameError, SourceError
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.frame import Frame, Image, LostFrame, Reading, Signal
from edgead.regions import find_spots, in_frame
from edgead.result import Result, Verdict
from edgead.selftest import SelfTest
from edgead.sinks import Sink
from edgead.sources import Source
from edgead.streaming import Stream, stream
from edgead.verdicts import (
    AreaLimit,
    Begin,
    CallTrigger,
    End,
    Hysteresis,
    PartRule,
    Polygon,
    Rules,
    Ruling,
    Rulings,
    Scoring,
)
from edgead.verdicts.parts import PartFault

THRESHOLDS = Thresholds(*(Threshold(value, "quantile", {}) for value in (200.0, 100.0, 150.0)))
SCORING = Scoring(Bands(THRESHOLDS, (0.0, 400.0)), "max")


class Script(Source):
    """A source that plays a list: an image's brightest pixel, None for a lost frame, an exception to raise."""

    def __init__(self, script: list[object]) -> None:
        super().__init__("script")
        self._script = iter(script)

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout: float) -> Reading:
        step = next(self._script, Signal.END)
        if isinstance(step, BaseException):
            raise step
        if step is Signal.END:
            return Signal.END
        if step is None:
            return self._lost("torn cable")
        image = np.zeros((16, 16, 3), np.uint8)
        image[4, 12] = step
        return self._frame(image)

    def close(self) -> None:
        """Nothing to close."""


class Brightest:
    """A detector whose map is the blue channel and whose score is its maximum; it refuses 13."""

    def prepare(self, image: Image) -> Image:
        return image[..., 0].astype(np.float32)

    def infer(self, prepared: np.ndarray) -> np.ndarray:
        return prepared

    def judge(self, anomaly_map: np.ndarray, frame: Frame, timing: dict[str, float]) -> Result:
        score = float(anomaly_map.max())
        if score == 13:
            raise FrameError("unlucky", "detector")
        verdict = SCORING.bands.verdict(score)
        regions = in_frame(find_spots(anomaly_map, 150.0), anomaly_map.shape, 16, 16)
        return Result(SCORING.bands.normalise(score), verdict is Verdict.REJECT, anomaly_map, anomaly_map >= 150, score,
                      verdict, regions, frame.frame_id, frame.source, frame.captured_at, timing, "digest")  # fmt: skip


class Memory(Sink):
    """A sink that remembers."""

    def __init__(self) -> None:
        super().__init__("memory")
        self.records: list[Result | LostFrame] = []

    def open(self) -> None:
        """Nothing to open."""

    def write(self, result: Result, frame: Frame) -> None:
        assert frame.frame_id == result.frame_id
        self.records.append(result)

    def lost(self, lost: LostFrame) -> None:
        self.records.append(lost)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to close."""


class Told:
    """A trigger that says what it was given, one list for each frame."""

    def __init__(self, *script: list[Begin | End]) -> None:
        self._script: Iterator[list[Begin | End]] = iter(script)

    def observe(self, frame: Frame | None) -> list[Begin | End]:
        return next(self._script, [])

    def close(self) -> None:
        """Nothing to let go."""


def by_part(agree: int = 1, *script: list[Begin | End]) -> Ruling:
    return Ruling(Rules(parts=PartRule("own", agree)), SCORING, Told(*script))


def test_no_rules_and_empty_rules_are_the_same() -> None:
    script = [0, 250, None, 120]
    sinks = Memory(), Memory()
    plain = list(stream(Brightest(), Script(script), sinks=[sinks[0]]))
    empty = list(stream(Brightest(), Script(script), sinks=[sinks[1]], rules=Ruling(Rules(), SCORING)))
    for one, other in zip(plain, empty, strict=True):
        first, second = one.record(), other.record()
        for record in (first, second):
            assert set(record) == {
                "frame_id", "source", "captured_at", "verdict", "pred_score", "pred_label", "raw_score", "regions",
                "timing", "bundle", "engine",
            }  # fmt: skip
            del record["timing"], record["captured_at"]
        assert first == second
    assert [type(record) for record in sinks[0].records] == [type(record) for record in sinks[1].records]


def test_hysteresis_and_areas_reach_the_caller_the_sinks_and_the_counts() -> None:
    sink = Memory()
    rules = Rules(hysteresis=Hysteresis(2, 3), ignore=(Polygon(((0, 0.5), (1, 0.5), (1, 1), (0, 1))),))
    with Stream(Brightest(), Script([250, None, 250, 0, 0]), sinks=[sink], rules=Ruling(rules, SCORING)) as run:
        said = [(result.verdict.value, result.raw_verdict.value) for result in run if result.raw_verdict]
    assert said == [("warn", "reject"), ("reject", "reject"), ("reject", "accept"), ("accept", "accept")]
    assert run.summary.to_json()["verdicts"] == {"accept": 1, "warn": 1, "reject": 2}
    kept = [record for record in sink.records if isinstance(record, Result)]
    assert [record.record()["raw_verdict"] for record in kept] == ["reject", "reject", "accept", "accept"]
    assert "parts" not in run.summary.to_json()


def test_one_part_one_verdict_everywhere() -> None:
    sink, faults = Memory(), []
    rules = by_part(1, [], [Begin("a")], [], [], [End()], [Begin("b")], [Begin("c")], [], [Begin("d")])
    source = Script([250, 0, 120, None, 250, 0, None, 13, 0, 250])
    with Stream(Brightest(), source, sinks=[sink], rules=rules, on_fault=faults.append) as run:
        results = list(run)
    assert [(r.part.name, r.verdict.value, r.frame_id) for r in results if r.part] == [
        ("a", "warn", 2), ("b", "accept", 5), ("d", "reject", 9),
    ]  # fmt: skip
    assert results[0].part is not None and results[0].part.lost == 1
    (fault,) = (lost for lost in faults if isinstance(lost, PartFault))
    assert fault.reason == "part c has no verdict: its 2 frames were lost"
    assert [lost.frame_id for lost in faults if not isinstance(lost, PartFault)] == [3, 6, 7]
    assert [r for r in sink.records if isinstance(r, Result)] == results
    assert [r for r in sink.records if isinstance(r, LostFrame)] == faults
    summary = run.summary
    assert (summary.judged, summary.lost, summary.unfinished) == (7, 3, 0)
    assert (summary.parts, summary.part_faults) == (3, 1)
    assert summary.to_json()["verdicts"] == {"accept": 1, "warn": 1, "reject": 1}
    assert summary.to_json()["parts"] == {"judged": 3, "faults": 1}
    assert "3 parts judged, 1 without a verdict" in summary.lines()
    assert set(results[0].timing) == {"capture", "prepare", "wait", "infer", "judge", "total"}


def test_a_run_that_is_left_or_fails_records_the_part_under_way_as_a_fault() -> None:
    sink = Memory()
    with pytest.raises(SourceError, match="gone"):
        list(stream(Brightest(), Script([0, 0, SourceError("gone")]), sinks=[sink], rules=by_part(1, [Begin("a")])))
    (fault,) = sink.records
    assert isinstance(fault, PartFault) and fault.reason == "part a has no verdict: the run was left before its end"
    sink = Memory()
    with Stream(Brightest(), Script([0] * 9), sinks=[sink], rules=by_part(1, [Begin("a")], [Begin("b")])) as run:
        for result in run:
            assert result.part is not None and result.part.name == "a"
            break
    assert [type(record) for record in sink.records] == [Result, PartFault]
    assert run.summary.part_faults == 1


def test_a_trigger_that_fails_ends_the_run_with_everything_recorded() -> None:
    class Failing(Told):
        def observe(self, frame: Frame | None) -> list[Begin | End]:
            said = super().observe(frame)
            if not said:
                raise RuntimeError("the fieldbus is gone")
            return said

    sink = Memory()
    rules = Ruling(Rules(parts=PartRule("own")), SCORING, Failing([Begin("a")], [Begin("b")]))
    with pytest.raises(RuntimeError, match="the fieldbus is gone"):
        list(stream(Brightest(), Script([250, 0, 0, 0]), sinks=[sink], rules=rules))
    assert [type(record) for record in sink.records] == [Result, PartFault]


def test_a_run_that_is_stopped_says_nothing_of_the_part_under_way() -> None:
    sink, stop, released = Memory(), threading.Event(), threading.Event()

    class Endless(Script):
        def read(self, timeout: float) -> Reading:
            if self._next_id >= 3:
                released.wait(timeout)
                return Signal.TIMEOUT
            return super().read(timeout)

    threading.Timer(0.3, stop.set).start()
    assert not list(stream(Brightest(), Endless([0] * 9), sinks=[sink], rules=by_part(1, [Begin("a")]), stop=stop))
    (fault,) = sink.records
    assert isinstance(fault, PartFault) and "part a has no verdict" in fault.reason


def test_the_end_of_the_frames_ends_the_part() -> None:
    for limits in ({}, {"max_frames": 3}):
        results = list(stream(Brightest(), Script([0, 250, 0, 250, 0]), rules=by_part(2, [Begin("a")]), **limits))
        assert [r.part.frames for r in results if r.part] == [limits.get("max_frames", 5)]
        assert results[0].verdict is (Verdict.ACCEPT if limits else Verdict.REJECT)


def test_images_of_folders_are_refused_where_frames_have_to_follow_one_another(folder: Path) -> None:
    rules = Rulings(Rules(hysteresis=Hysteresis(2, 3)), SCORING)
    with pytest.raises(DataError, match="several folders or videos have no such order"):
        list(stream(Brightest(), folder, rules=rules))
    one = Ruling(Rules(hysteresis=Hysteresis(2, 3)), SCORING)
    said = [result.verdict.value for result in stream(Brightest(), folder, rules=one)]
    assert said == ["accept", "warn", "accept", "reject", "reject", "reject"]


def test_a_call_from_another_place_is_a_trigger() -> None:
    trigger = CallTrigger()
    rules = Ruling(Rules(parts=PartRule("own", frames=2)), SCORING, trigger)
    trigger.begin("4711")
    results = list(stream(Brightest(), Script([0, 250, 250]), rules=rules))
    assert [(r.part.name, r.part.frames) for r in results if r.part] == [("4711", 2)]


def test_a_map_that_stayed_on_the_gpu_ends_the_run() -> None:
    rules = Ruling(Rules(min_area=AreaLimit(pixels=2)), SCORING)

    class Left(Brightest):
        def judge(self, anomaly_map: np.ndarray, frame: Frame, timing: dict[str, float]) -> Result:
            return replace(super().judge(anomaly_map, frame, timing), anomaly_map=np.empty((0, 0), np.float32))

    with pytest.raises(EngineError, match="maps=True"):
        list(stream(Left(), Script([0]), rules=rules))


def test_observers_are_asked_after_the_verdict_and_heard_everywhere() -> None:
    order: list[tuple[str, int]] = []
    heard: list[Change] = []

    class Noticing:
        def observe(self, frame: Frame, result: Result) -> list[Change]:
            order.append(("seen", frame.frame_id))
            assert result.verdict is Verdict.REJECT and result.raw_verdict is None  # the detector's own
            return [Change("focus", "it fell", 1.0, 2.0, 1, "script", 5.0)] if frame.frame_id == 1 else []

    rules = Ruling(Rules(hysteresis=Hysteresis(3, 3)), SCORING)
    run = Stream(Brightest(), Script([250] * 3), rules=rules, observers=[Noticing()], on_change=heard.append)
    with run:
        for result in run:
            order.append(("said", result.frame_id))
    assert order == [(what, frame) for frame in range(3) for what in ("said", "seen")]
    assert heard == run.summary.changes and len(heard) == 1
    assert run.summary.to_json()["changes"][0]["what"] == "focus"
    assert "changed at frame 1: it fell" in run.summary.lines()


def test_a_detector_of_a_bundle_and_a_scene_that_goes_dark(fp32_bundle: Path) -> None:
    """The whole way with a real engine: areas of its own map, and its camera covered after 40 frames."""
    random = np.random.default_rng(0)
    images = [random.integers(90, 110, (64, 64, 3)).astype(np.uint8) for _ in range(80)]

    class Covered(Script):
        def read(self, timeout: float) -> Reading:
            step = next(self._script, Signal.END)
            if step is Signal.END:
                return Signal.END
            image = images[int(str(step))]
            return self._frame(image if int(str(step)) < 40 else (image * 0.5).astype(np.uint8))

    with edgead.load(fp32_bundle, target="openvino") as detector:
        rules = Rules(roi=(Polygon(((0, 0), (0.5, 0), (0.5, 1), (0, 1))),), min_area=AreaLimit(share=0.002))
        ruling = Ruling(rules, Scoring.of(detector))
        source = Covered(list(range(80)))
        with Stream(detector, source, rules=ruling, observers=[Scene(every=1, learn=20, window=10)]) as run:
            results = list(run)
    for result in results:
        assert result.ruled_score is not None and result.ruled_score <= result.raw_score * (1 + 1e-5)
        assert not result.pred_mask[:, 32:].any()
    changes = [change for change in run.summary.changes if change.what == "brightness"]
    assert len(changes) == 1 and 40 <= changes[0].frame_id < 50


# The command, with a detector that needs no bundle


class Loaded(Brightest):
    bands, thresholds, score_range = Bands(THRESHOLDS, (0.0, 400.0)), THRESHOLDS, (0.0, 400.0)
    variant = SimpleNamespace(good_scores=None)
    bundle = SimpleNamespace(manifest=SimpleNamespace(options={"score": "max"}, variant=lambda name: Loaded.variant))

    digest, max_batch, precision = "digest", 1, "fp32"

    def close(self) -> None:
        """Nothing to free."""


def load(path: Path, *, maps: bool, **_: object) -> Loaded:
    click.echo(f"maps {maps}", err=True)
    return Loaded()


Command = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `edgead stream part.edgead --json ...` -> its summary and what it said on standard error."""
    monkeypatch.setattr("edgead.cli.stream.load", load)
    monkeypatch.setattr("edgead.cli.stream.self_test", lambda detector: SelfTest(()))

    def run(*arguments: object, code: int = 0) -> tuple[dict[str, Any], str]:
        with pytest.raises(SystemExit) as left:
            main(["stream", "part.edgead", "--json", *map(str, arguments)])
        said = capsys.readouterr()
        assert (left.value.code or 0) == code, said.err
        return json.loads(said.out) if said.out else {}, said.err

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames whose brightest pixel at (12, 4) of 16 is 0, 250, 0, 250, 250, 120."""
    path = tmp_path_factory.mktemp("frames")
    for number, value in enumerate((0, 250, 0, 250, 250, 120)):
        image = np.zeros((16, 16, 3), np.uint8)
        image[4, 12] = value
        cv2.imwrite(str(path / f"{number}.png"), image)
    return path


def counts(accept: int, warn: int, reject: int) -> dict[str, int]:
    return {"accept": accept, "warn": warn, "reject": reject}


def test_the_command_takes_rules(command: Command, folder: Path, tmp_path: Path) -> None:
    summary, errors = command("--camera", folder)
    assert summary["verdicts"] == counts(2, 1, 3) and "maps False" in errors
    summary, errors = command("--camera", folder, "--roi", "0,0 0.5,0 0.5,1 0,1")
    assert summary["verdicts"] == counts(6, 0, 0) and "maps True" in errors
    cv2.imwrite(str(tmp_path / "top.png"), np.repeat(np.uint8([255, 0]), 8)[:, None].repeat(16, 1))
    summary, _ = command("--camera", folder, "--ignore", tmp_path / "top.png")
    assert summary["verdicts"] == counts(6, 0, 0)
    summary, _ = command("--camera", folder, "--min-area", "1%")
    assert summary["verdicts"] == counts(6, 0, 0)
    saved = tmp_path / "results.jsonl"
    summary, errors = command("--camera", folder, "--hysteresis", "2/3", "--save", saved)
    assert summary["verdicts"] == counts(2, 1, 3) and "maps False" in errors
    lines = [json.loads(line) for line in saved.read_text().splitlines()]
    assert [(line["verdict"], line["raw_verdict"]) for line in lines][:4] == [
        ("accept", "accept"), ("warn", "reject"), ("accept", "accept"), ("reject", "reject"),
    ]  # fmt: skip


def test_the_command_takes_parts_from_standard_input(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / "results.jsonl"
    (tmp_path / "lines").write_text("part 1\nnoise\npart 2\n")
    with (tmp_path / "lines").open() as lines_in:
        monkeypatch.setattr(sys, "stdin", lines_in)
        summary, errors = command("--camera", folder, "--trigger", "stdin", "--save", saved)
    assert summary["parts"] == {"judged": 1, "faults": 3}
    lines = [json.loads(line) for line in saved.read_text().splitlines()]
    assert [line.get("fault") for line in lines] == [
        "the trigger said 'noise', not `part`, `part NAME` or `end`",
        "part 1 has no verdict: no frame of it was judged",
        "the trigger's lines have ended: no part begins any more",
        None,
    ]
    assert lines[3]["part"]["name"] == "2" and lines[3]["part"]["frames"] == 6 and lines[3]["verdict"] == "reject"
    assert "begun" not in lines[3]["part"]
    assert "part 1 has no verdict" in errors and "lost frame" not in errors


def test_the_command_watches_for_drift_where_it_is_asked_to(command: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(400):
        image = random.integers(90, 110, (16, 16, 3)) * (1 if number < 250 else 0.5)
        cv2.imwrite(str(tmp_path / f"{number:03}.png"), image.astype(np.uint8))
    summary, errors = command("--camera", tmp_path, "--drift")
    assert [change["what"] for change in summary["changes"] if change["what"] == "brightness"] == ["brightness"]
    assert "warning: at frame " in errors and "brightness fell by" in errors
    summary, errors = command("--camera", tmp_path)
    assert "changes" not in summary and "warning" not in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--roi", "0,0 1,1"], "error: a polygon has 2 corners"),
        (["--roi", "missing.png"], "neither a polygon nor an image file"),
        (["--min-area", "much"], "this is no least area, much"),
        (["--hysteresis", "5/3"], "cannot be met"),
        (["--trigger", "gpio:4"], "there is no such trigger, gpio:4"),
        (["--trigger", "line:0,0,0"], "this is no line"),
        (["--trigger", "stdin", "--hysteresis", "1/2"], "several parts"),
        (["--trigger", "stdin"], "there is no standard input"),
        (["--roi", "0.01,0.01 0.02,0.01 0.01,0.02"], "is left to look at"),
    ],
)
def test_the_command_refuses_what_cannot_be(command: Command, folder: Path, arguments: list[str], message: str) -> None:
    _, errors = command("--camera", folder, *arguments, code=1)
    assert message in errors and "Traceback" not in errors
