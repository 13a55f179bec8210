"""Several cameras in one run: batched into one call, each in its order, none favoured, none lost."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter

import numpy as np
import pytest

from edgead.detector import Detector
from edgead.errors import FrameError, SourceError
from edgead.frame import LostFrame, Signal
from edgead.loading import load
from edgead.result import Result, Verdict
from edgead.sources import Source
from edgead.streaming import Stream


class Paced(Source):
    """A camera of so many frames a second, `count` of them; their pixels say their number."""

    def __init__(self, name, count, *, period=0.0, live=True, fails=False):
        super().__init__(name)
        self.live, self._count, self._period, self._fails = live, count, period, fails

    def open(self):
        self._due = time.monotonic()

    def read(self, timeout):
        if self._next_id == self._count:
            if self._fails:
                raise SourceError("it broke", self.name)
            return Signal.END
        self._due += self._period
        time.sleep(max(0.0, self._due - time.monotonic()))
        return self._frame(np.full((4, 4, 3), self._next_id % 256, np.uint8))

    def close(self):
        pass


class Counting:
    """A judge that notes the cameras in every call of its engine."""

    max_batch = 4

    def __init__(self, seconds=0.0):
        self.calls, self._seconds = [], seconds

    def prepare(self, image):
        return int(image[0, 0, 0])

    def infer(self, prepared):
        return self.infer_some([prepared])[0]

    def infer_some(self, prepared):
        time.sleep(self._seconds)
        self.calls.append(len(prepared))
        return list(prepared)

    def judge(self, answer, frame, timing):
        assert answer == frame.frame_id % 256
        none = np.empty((0, 0))
        return Result(0.0, False, none, none > 0, 0.0, Verdict.ACCEPT, (), frame.frame_id, frame.source,
                      frame.captured_at, timing)  # fmt: skip


def names(count):
    return [f"camera {number}" for number in range(count)]


def test_every_frame_of_each_is_judged_in_its_order_and_in_batches():
    judge = Counting(0.01)
    with Stream(judge, [Paced(name, 60, live=False) for name in names(4)]) as run:
        assert run.policy == "every"
        found = [(result.source, result.frame_id) for result in run]
    for name in names(4):
        assert [number for source, number in found if source == name] == list(range(60))
    assert sum(judge.calls) == 240 and max(judge.calls) <= 4
    assert np.mean(judge.calls) > 2  # while one call runs, the others' frames gather
    assert run.summary.judged == 240 and run.summary.dropped == 0


def test_the_freshest_of_each_is_judged_and_a_fast_camera_takes_nothing_from_a_slow_one():
    judge = Counting(0.04)
    cameras = [Paced("slow", 20, period=0.1), Paced("fast", 2000, period=0.001)]
    with Stream(judge, cameras) as run:
        assert run.policy == "latest"
        found = [(result.source, result.frame_id, result.timing) for result in run]
    counts = Counter(source for source, _, _ in found)
    assert counts["slow"] >= 15  # each of its frames comes while a call runs, and is in the next
    assert 0.2 * sum(counts.values()) < counts["slow"] < 0.8 * sum(counts.values())
    for name in ("slow", "fast"):
        order = [number for source, number, _ in found if source == name]
        assert order == sorted(set(order))
    assert np.median([timing["total"] - timing["infer"] for _, _, timing in found]) < 100
    assert run.summary.dropped + run.summary.judged == run.summary.frames == 2020


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("periods", [(0.04,) * 4, (0.005, 0.04, 0.04, 0.04)])
def test_none_waits_for_ever_where_the_engine_is_slower_than_all(batch, periods):
    """Four cameras in step, or one that always has a newer frame, and an engine that takes a half of them or less."""
    judge = Counting(0.02 * batch)
    judge.max_batch = batch
    stop = threading.Event()
    cameras = [Paced(name, 10_000, period=period) for name, period in zip(names(4), periods, strict=True)]
    counts: Counter[str] = Counter()
    with Stream(judge, cameras, stop=stop) as run:
        for result in run:
            counts[result.source] += 1
            if counts.total() == 100:
                stop.set()
    assert run.summary.dropped > 50
    assert len(counts) == 4 and min(counts.values()) > 0.5 * max(counts.values())


def test_one_camera_that_breaks_ends_the_run_with_its_cause():
    judged = []
    cameras = [Paced("good", 100_000, period=0.002), Paced("bad", 3, fails=True, live=False)]
    with pytest.raises(SourceError, match="it broke") as failure, Stream(Counting(), cameras, policy="every") as run:
        for result in run:
            judged.append((result.source, result.frame_id))
    assert failure.value.where == "bad"
    assert [number for source, number in judged if source == "bad"] == [0, 1, 2]


def test_max_frames_are_not_passed_by_a_batch():
    with Stream(Counting(0.005), [Paced(name, 50, live=False) for name in names(3)], max_frames=7) as run:
        assert len(list(run)) == 7


def test_a_refused_frame_in_a_batch_is_lost_alone():
    class Refusing(Counting):
        def judge(self, answer, frame, timing):
            if frame.source == "camera 1" and frame.frame_id == 5:
                raise FrameError("no number", "camera 1")
            return super().judge(answer, frame, timing)

    faults: list[LostFrame] = []
    cameras = [Paced(name, 20, live=False) for name in names(2)]
    with Stream(Refusing(0.001), cameras, on_fault=faults.append) as run:
        found = list(run)
    assert [(fault.source, fault.frame_id) for fault in faults] == [("camera 1", 5)]
    assert len(found) == 39


def test_a_turn_is_told_while_nothing_comes():
    turns: list[float] = []
    with Stream(Counting(), Paced("slow", 2, period=2), on_turn=lambda: turns.append(time.monotonic())) as run:
        list(run)
    assert len(turns) >= 4
    assert max(after - before for before, after in itertools.pairwise(turns)) < 1.5


def test_a_real_detector_says_of_each_what_it_says_of_it_alone(fp32_bundle, parts):
    folders = [str(parts / "test/spot"), str(parts / "test/good")]
    with load(fp32_bundle) as detector:
        assert isinstance(detector, Detector)
        alone = {}
        for folder in folders:
            with Stream(detector, folder) as run:
                alone |= {result.source: result.raw_score for result in run}
        with Stream(detector, folders) as run:
            together = {result.source: result.raw_score for result in run}
    assert together.keys() == alone.keys() and len(alone) == 16
    assert all(together[name] == pytest.approx(alone[name], rel=1e-4) for name in alone)


def test_the_command_watches_several(edgead, fp32_bundle, parts, tmp_path):
    cameras = ("--camera", f"{parts}/test/spot", "--camera", f"{parts}/test/good")
    told = json.loads(edgead("stream", fp32_bundle, *cameras, "--save", tmp_path / "results.jsonl", "--json"))
    assert told["judged"] == 16 and told["lost"] == 0
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert len({record["source"] for record in records}) == 16
