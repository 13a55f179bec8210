"""Detectors that give way to each other while a stream runs: real engines of two bundles, of two input sizes."""

from __future__ import annotations

import gc
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import edgead
from edgead.errors import EngineError, FrameError
from edgead.frame import Frame, Signal
from edgead.live import LiveDetector
from edgead.sources import Source
from edgead.streaming import Stream
from edgead.verdicts import AreaLimit, CallTrigger, PartRule, Rules, Ruling, Scoring
from tests.conftest import part_photo
from tests.other_detector import other_detector

PHOTOS = [part_photo(seed, spot=seed % 3 == 0)[0] for seed in range(12)]


class Photos(Source):
    """So many frames: the photos, over and over."""

    def __init__(self, count: int, name: str = "photos", *, live: bool = False) -> None:
        super().__init__(name)
        self.live, self.left = live, count

    def open(self) -> None:
        """There is nothing to open."""

    def read(self, timeout: float):
        if not self.left:
            return Signal.END
        self.left -= 1
        if self.live:
            time.sleep(0.01)
        return self._frame(PHOTOS[self.left % len(PHOTOS)])

    def close(self) -> None:
        """Nor to close."""


@pytest.fixture(scope="module")
def bundles(fp32_bundle, parts):
    """64 x 64 pixels and a batch of 8, and 32 x 48 pixels with another one."""
    return [fp32_bundle, other_detector(parts)]


class Opened:
    """Loads detectors by turns and remembers them."""

    def __init__(self, bundles):
        self.detectors, self._bundles = [], itertools.cycle(bundles)

    def next(self):
        self.detectors.append(edgead.load(next(self._bundles), target="openvino"))
        return self.detectors[-1]

    @property
    def running(self):
        return [detector for detector in self.detectors if detector.engine._running]


@pytest.fixture
def opened(bundles):
    opened = Opened(bundles)
    yield opened
    assert not opened.running


@pytest.fixture(scope="module")
def scores(bundles):
    """By digest: what each detector alone says of each photo."""
    found = {}
    for path in bundles:
        with edgead.load(path, target="openvino") as detector:
            found[detector.digest] = [detector(photo).raw_score for photo in PHOTOS]
    return found


def changes(results):
    """The digests of consecutive results, each once until it changes."""
    return [digest for digest, _ in itertools.groupby(result.bundle for result in results)]


def test_each_frame_has_one_verdict_of_the_detector_that_prepared_it(opened, scores):
    told, count = [], 240
    with LiveDetector(opened.next(), on_change=lambda detector: told.append(detector)) as live:
        results = []
        with Stream(live, Photos(count), policy="every") as run:
            for result in run:
                results.append(result)
                if len(results) % 20 == 0 and len(opened.detectors) < 9:
                    live.swap(opened.next())
                assert len(opened.running) <= 2
    assert [result.frame_id for result in results] == list(range(count))
    assert changes(results) == [detector.digest for detector in opened.detectors]
    assert told == opened.detectors[1:]
    for result in results:
        expected = scores[result.bundle][(count - 1 - result.frame_id) % len(PHOTOS)]
        assert result.raw_score == pytest.approx(expected, rel=1e-5)
    assert len({result.anomaly_map.shape for result in results}) == 2
    assert (run.summary.judged, run.summary.lost, run.summary.unfinished) == (count, 0, 0)


def test_frames_on_their_way_at_a_swap_stay_with_their_detector(opened, scores):
    """Many are prepared before any is inferred; two swaps lie between them, and the batches are larger than theirs."""
    first, second, third = (opened.next() for _ in range(3))
    second.max_batch = 2
    sizes = []
    infer = second.infer_some
    second.infer_some = lambda prepared: (sizes.append(len(prepared)), infer(prepared))[1]
    with LiveDetector(first) as live:
        tickets = []
        for detector in (second, third, None):
            tickets += [live.prepare(photo) for photo in PHOTOS[:5]]
            if detector:
                live.swap(detector)
        assert live.judging is first and live.current is third
        said = live.infer_some(tickets)
        assert sizes == [2, 2, 1]
        assert opened.running == [third]  # though tickets are still held here
        results = [live.judge(answer, Frame(PHOTOS[0], 0, "line", 0.0), {}) for answer in said]
        assert live.judging is third
    assert changes(results) == [first.digest, second.digest, third.digest]
    for number, result in enumerate(results):
        assert result.raw_score == pytest.approx(scores[result.bundle][number % 5], rel=1e-5)


def test_several_cameras_under_latest_are_followed_frame_by_frame(opened):
    """Frames that give way to newer ones count as gone, in batches over cameras, with swaps from another thread."""
    cameras = [Photos(60, name, live=True) for name in ("left", "right", "top")]
    with LiveDetector(opened.next()) as live:
        assert live.max_batch > 1
        results = []
        with Stream(live, cameras, policy="latest") as run, ThreadPoolExecutor(1) as other:
            for result in run:
                results.append(result)
                if len(results) % 12 == 0 and len(opened.detectors) < 5:
                    other.submit(lambda: live.swap(opened.next())).result()
        live.infer(live.prepare(PHOTOS[0]))
        assert len(opened.running) == 1
    for camera in ("left", "right", "top"):
        ids = [result.frame_id for result in results if result.source == camera]
        assert ids == sorted(set(ids)) and ids[-1] == 59
    assert len(opened.detectors) > 2
    assert changes(results) == [detector.digest for detector in opened.detectors]
    assert run.summary.frames == 180 == run.summary.judged + run.summary.dropped


def test_a_dropped_ticket_holds_nothing(opened):
    """Also one that the collector finds in a cycle, and one whose frame was refused."""
    with LiveDetector(opened.next()) as live:
        before = opened.detectors[0]
        kept, dropped = live.prepare(PHOTOS[0]), live.prepare(PHOTOS[1])
        cycle = [live.prepare(PHOTOS[2])]
        cycle.append(cycle)
        with pytest.raises(FrameError):
            live.prepare(PHOTOS[0].astype(np.float32))
        live.swap(opened.next())
        new = live.prepare(PHOTOS[0])
        del dropped
        live.infer(new)
        assert before.engine._running
        live.infer(kept)
        assert before.engine._running  # the cycle is still there
        del cycle
        gc.collect()
        assert before.engine._running  # it is freed by the thread that infers, and by no other
        live.infer(live.prepare(PHOTOS[0]))
        assert not before.engine._running


def test_rules_change_exactly_with_the_detector(opened, bundles):
    """What areas and a least size leave of a map is judged by the thresholds of the detector that gave the map."""
    rules, expected = Rules(min_area=AreaLimit.parse("2%")), {}
    for path in bundles:
        with edgead.load(path, target="openvino") as detector:
            ruling = Ruling(rules, Scoring.of(detector))
            alone = [ruling.apply(detector(photo), Frame(photo, 0, "line", 0.0))[0][0] for photo in PHOTOS]
            expected[detector.digest] = [(result.pred_score, result.verdict) for result in alone]
    first = opened.next()
    ruling = Ruling(rules, Scoring.of(first))

    def rescore(detector):
        ruling.scoring = Scoring.of(detector)

    with LiveDetector(first, on_change=rescore) as live, Stream(live, Photos(96), rules=ruling) as run:
        results = []
        for result in run:
            results.append(result)
            if len(results) in (30, 60):
                live.swap(opened.next())
    assert len(changes(results)) == 3 and any(result.ruled_score is not None for result in results)
    for result in results:
        score, verdict = expected[result.bundle][(95 - result.frame_id) % len(PHOTOS)]
        assert (result.pred_score, result.verdict) == (pytest.approx(score, abs=1e-5), verdict)


@pytest.mark.parametrize("swap_at", [5, 12, 19])
def test_a_part_under_way_at_a_swap_is_judged_by_all_of_its_frames(opened, swap_at):
    """Its verdict is the worst one that either detector gave, and the frame that speaks for it is one of those."""
    trigger, seen = CallTrigger(), []

    class Seeing:
        def observe(self, frame, result):
            seen.append(result)
            if len(seen) == swap_at:
                live.swap(opened.next())
            return []

    trigger.begin("4711")
    with LiveDetector(opened.next()) as live:
        ruling = Ruling(Rules(parts=PartRule("own")), Scoring.of(live.current), trigger)
        with Stream(live, Photos(36), policy="every", rules=ruling, observers=[Seeing()]) as run:
            (said,) = run
    assert len(changes(seen)) == 2 and said.part.frames == 36
    worst = max(seen, key=lambda result: (["accept", "warn", "reject"].index(result.verdict.value), result.pred_score))
    assert said.verdict is worst.verdict is said.raw_verdict
    assert said.pred_score == worst.pred_score


def test_what_cannot_be_swapped_is_left_to_the_caller(opened):
    live = LiveDetector(opened.next())
    with pytest.raises(ValueError, match="in use"):
        live.swap(live.current)
    other = opened.next()
    live.close()
    live.close()
    with pytest.raises(EngineError, match="has ended"):
        live.swap(other)
    assert opened.running == [other]
    other.close()
