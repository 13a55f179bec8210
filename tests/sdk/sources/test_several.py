"""Several cameras in one process: each frame of each, in order, whatever the others do."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame, Signal
from edgead.sources import Source
from edgead.sources.several import Several


class Made(Source):
    """Frames at a pace; `fails` after so many, `waits` instead of giving any."""

    def __init__(self, name, count=5, *, period=0.0, live=False, fails=False, opens=True, waits=False):
        super().__init__(name)
        self.live, self.closed = live, 0
        self._count, self._period, self._fails, self._opens, self._waits = count, period, fails, opens, waits

    def open(self):
        if not self._opens:
            raise SourceError("no camera", self.name)
        self.fps = 1 / self._period if self._period else None

    def read(self, timeout):
        if self._waits:
            time.sleep(timeout)
            return Signal.TIMEOUT
        time.sleep(self._period)
        if self._next_id == self._count:
            if self._fails:
                raise SourceError("it broke", self.name)
            return Signal.END
        if self._next_id == 2:
            return self._lost("garbled")
        return self._frame(np.full((2, 2, 3), self._next_id, np.uint8))

    def close(self):
        self.closed += 1


def drain(source, limit=5.0):
    found, end = [], time.monotonic() + limit
    while (reading := source.read(0.2)) is not Signal.END:
        assert time.monotonic() < end
        if isinstance(reading, Frame | LostFrame):
            found.append((reading.source, reading.frame_id, isinstance(reading, LostFrame)))
    return found


def test_every_frame_of_each_comes_in_its_order():
    cameras = [Made(name, count, period=0.001) for name, count in (("a", 5), ("b", 30), ("c", 1))]
    with Several(cameras) as source:
        found = drain(source)
    for camera, count in zip("abc", (5, 30, 1), strict=True):
        mine = [(number, lost) for name, number, lost in found if name == camera]
        assert mine == [(number, number == 2) for number in range(count)]
    assert all(camera.closed for camera in cameras)


def test_one_that_gives_nothing_holds_up_no_other():
    with Several([Made("dead", waits=True), Made("alive", 20)]) as source:
        found = [source.read(1) for _ in range(20)]
        assert [reading.source for reading in found] == ["alive"] * 20
        assert source.read(0.01) is Signal.TIMEOUT


def test_the_freshest_of_each_waits_for_a_slow_reader():
    source = Several([Made("slow", 3, period=0.05, live=True), Made("fast", 200, period=0.002, live=True)])
    source.freshest = True
    with source:
        time.sleep(0.3)
        readings = [source.read(1) for _ in range(4)]  # of each camera the news of a lost frame, and the newest one
        found = {reading.source: reading.frame_id for reading in readings if isinstance(reading, Frame)}
        assert set(found) == {"slow", "fast"} and found["fast"] > 20
        assert source.dropped > 10


def test_a_failure_comes_after_what_was_read_before_it():
    with Several([Made("a", 4, fails=True), Made("b", waits=True)]) as source:
        found = [source.read(1) for _ in range(4)]
        assert [reading.frame_id for reading in found] == [0, 1, 2, 3]
        with pytest.raises(SourceError, match="it broke"):
            source.read(1)


def test_all_have_to_open_and_are_closed_where_one_does_not():
    first, second = Made("a"), Made("b", opens=False)
    with pytest.raises(SourceError, match="no camera"), Several([first, second]):
        pass
    assert first.closed and second.closed
    assert threading.active_count() < 20


def test_what_makes_no_sense_is_refused():
    with pytest.raises(SourceError, match="given twice"):
        Several([Made("a"), Made("a")])
    with pytest.raises(SourceError, match="no source"):
        Several([])
    with pytest.raises(SourceError, match="not open"):
        Several([Made("a")]).read(0)


def test_it_is_live_where_all_are_and_as_fast_as_all_together():
    both = Several([Made("a", live=True, period=0.04), Made("b", live=True, period=0.02)])
    assert both.live and not Several([Made("a", live=True), Made("b")]).live
    with both:
        assert both.fps == pytest.approx(75)


def test_it_can_be_opened_again():
    source = Several([Made("a", 3), Made("b", 3)])
    for _ in range(2):
        with source:
            assert len(drain(source)) == 6
