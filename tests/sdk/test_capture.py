"""The threads that read sources: each frame of each, in order, whatever the others do."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from edgead import capture as capture_module
from edgead.capture import Capture, Prepared
from edgead.errors import FrameError, SourceError
from edgead.frame import LostFrame, Signal
from edgead.sources import Source
from edgead.sources.camera import Camera


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


@contextmanager
def capturing(sources, *, freshest=False, prepare=lambda image: image, most=None, stop=None):
    capture = Capture(sources, prepare, freshest=freshest, stop=stop or threading.Event(), most=most)
    capture.start()
    try:
        yield capture
    finally:
        capture.leave()
        assert capture.join()


def told(item):
    lost = isinstance(item, LostFrame)
    frame = item if lost else item.frame
    return frame.source, frame.frame_id, lost


def drain(capture, limit=30.0):
    found, end = [], time.monotonic() + limit
    while (items := capture.take(3)) is not Signal.END:
        assert time.monotonic() < end
        if items is not Signal.TIMEOUT:
            found += map(told, items)
    return found


def take(capture, count):
    """So many items, one after the other."""
    found, end = [], time.monotonic() + 30
    while len(found) < count:
        items = capture.take(1)
        assert items is not Signal.END and time.monotonic() < end
        if items is not Signal.TIMEOUT:
            found += map(told, items)
    return found


def test_every_frame_of_each_comes_in_its_order():
    cameras = [Made(name, count, period=0.001) for name, count in (("a", 5), ("b", 30), ("c", 1))]
    with capturing(cameras) as capture:
        found = drain(capture)
        assert capture.delivered == 36 and capture.dropped == 0
    for camera, count in zip("abc", (5, 30, 1), strict=True):
        mine = [(number, lost) for name, number, lost in found if name == camera]
        assert mine == [(number, number == 2) for number in range(count)]
    assert all(camera.closed == 1 for camera in cameras)


def test_each_is_prepared_in_a_thread_of_its_own_and_all_at_once():
    threads, together = set(), threading.Barrier(3)

    def prepare(image):
        threads.add(threading.get_ident())
        together.wait(5)  # breaks, were they prepared one after the other
        return image + 1

    with capturing([Made(name, 2) for name in "abc"], prepare=prepare) as capture:
        items = []
        while isinstance(some := capture.take(9), list):
            items += some
    assert len(threads) == 3 and len(items) == 6
    assert all(item.ready[0, 0, 0] == item.frame.frame_id + 1 for item in items)
    assert all(set(item.timing) == {"capture", "prepare"} for item in items)


def test_one_that_gives_nothing_holds_up_no_other():
    with capturing([Made("dead", waits=True), Made("alive", 20)]) as capture:
        assert [name for name, _, _ in take(capture, 20)] == ["alive"] * 20
        assert capture.take(1) is Signal.TIMEOUT


def test_one_whose_frames_nobody_takes_waits_and_loses_nothing():
    camera = Made("a", 20)
    with capturing([camera]) as capture:
        time.sleep(0.2)
        assert capture.delivered < 10
        assert [number for _, number, _ in drain(capture)] == list(range(20))


def test_the_freshest_of_each_waits_for_a_slow_reader():
    cameras = [Made("slow", 3, period=0.05, live=True), Made("fast", 200, period=0.002, live=True)]
    with capturing(cameras, freshest=True) as capture:
        while capture.delivered < 103:  # all of the slow one, and a hundred of the fast one
            time.sleep(0.01)
        found = take(capture, 4)  # of each camera the news of a lost frame, and the newest one
        newest = {name: number for name, number, lost in found if not lost}
        assert set(newest) == {"slow", "fast"} and newest["fast"] > 20
        assert capture.dropped > 10
        drain(capture)
        assert capture.delivered == 203


def test_a_failure_comes_after_what_was_read_before_it():
    with capturing([Made("a", 4, fails=True), Made("b", waits=True)]) as capture:
        assert [number for _, number, _ in take(capture, 4)] == [0, 1, 2, 3]
        with pytest.raises(SourceError, match="it broke"):
            while capture.take(1) is Signal.TIMEOUT:
                pass


def test_all_have_to_open_before_one_is_read():
    first, second = Made("a", 50), Made("b", opens=False)
    with capturing([first, second]) as capture, pytest.raises(SourceError, match="no camera"):
        drain(capture)
    assert first.closed and second.closed and first._next_id == 0


def test_a_refused_frame_is_lost_and_so_is_what_a_source_calls_lost():
    def prepare(image):
        if image[0, 0, 0] == 1:
            raise FrameError("too dark", "detector")
        return image

    with capturing([Made("a", 4)], prepare=prepare) as capture:
        assert drain(capture) == [("a", 0, False), ("a", 1, True), ("a", 2, True), ("a", 3, False)]


def test_no_more_is_read_than_is_asked_for():
    with capturing([Made("a", 50), Made("b", 50)], most=3) as capture:
        found = drain(capture)
    assert sorted(number for name, number, lost in found if name == "a" and not lost) == [0, 1, 3]
    stop = threading.Event()
    stop.set()
    with capturing([Made("a", 50)], stop=stop) as capture:
        assert drain(capture) == []


def test_leaving_frees_a_thread_that_waits_for_room_and_one_that_waits_for_the_others():
    class Slow(Made):
        def open(self):
            time.sleep(0.3)

    begin = time.monotonic()
    with capturing([Made("a", 50)]) as capture:
        take(capture, 1)
    with capturing([Made("a", 50), Slow("b", 50)]):
        pass
    assert time.monotonic() - begin < capture_module.STOP_SECONDS


def test_what_makes_no_sense_is_refused():
    with pytest.raises(SourceError, match="given twice"), capturing([Made("a"), Made("a")]):
        pass
    with pytest.raises(SourceError, match="no source"), capturing([]):
        pass


def test_what_was_prepared_says_how_old_it_is():
    with capturing([Made("a", 1, live=True)], prepare=lambda image: time.sleep(0.02)) as capture:
        (item,) = capture.take(1)
    assert isinstance(item, Prepared) and 0.02 <= item.age < 20
    assert item.timing["prepare"] >= 20


def test_an_error_is_raised_though_another_source_does_not_answer(monkeypatch):
    monkeypatch.setattr(capture_module, "STOP_SECONDS", 0.3)
    freed = threading.Event()

    class Hangs(Made):
        def read(self, timeout):
            freed.wait(10)
            return Signal.END

    with pytest.raises(SourceError, match="it broke"):
        capture = Capture([Made("a", 1, fails=True), Hangs("b")], lambda image: image, freshest=False,
                          stop=threading.Event())  # fmt: skip
        capture.start()
        begin = time.monotonic()
        while time.monotonic() - begin < 9:
            capture.take(3)
    assert time.monotonic() - begin < 8  # it would answer after ten
    capture.leave()
    freed.set()
    assert capture.join()


def test_a_broken_barrier_of_the_detectors_own_is_an_error_as_any():
    def prepare(image):
        raise threading.BrokenBarrierError

    with capturing([Made("a", 2)], prepare=prepare) as capture, pytest.raises(threading.BrokenBarrierError):
        drain(capture)


def test_news_of_lost_frames_makes_no_frame_old():
    """Nobody takes anything for long: the frame that waits is the last one, behind more news than a queue is long."""

    class Torn(Made):
        def read(self, timeout):
            if self._next_id == self._count:
                return Signal.END
            return self._lost("torn") if self._next_id % 2 else self._frame(np.zeros((2, 2, 3), np.uint8))

    given = threading.Event()

    def prepare(image):
        if torn[0]._next_id == torn[0]._count:
            given.set()
        return image

    torn = [Torn("a", 41, live=True), Made("b", 1, live=True)]
    with capturing(torn, freshest=True, prepare=prepare) as capture:
        assert given.wait(30)
        found = [one for one in drain(capture) if one[0] == "a"]
    assert [number for _, number, lost in found if lost] == list(range(1, 40, 2))
    assert [number for _, number, lost in found if not lost] == [40]


@pytest.mark.parametrize(("opening", "hangs"), [(None, False), (0.0, True), (0.3, True)])
def test_a_camera_that_may_take_its_time_to_open_does_not_hang_meanwhile(monkeypatch, opening, hangs):
    monkeypatch.setattr(capture_module, "HANGING_SECONDS", 0.1)
    freed = threading.Event()

    def connect():
        freed.wait(30)
        raise SourceError("it sends nothing", "camera")

    camera = Camera("camera", connect, stall=250.0)  # one that gives a picture a minute
    assert 240 < camera.opening < 260  # by GStreamer and then by FFmpeg, each for half of the stall
    if opening is not None:
        camera.opening = opening
    with capturing([camera], freshest=True) as capture:
        time.sleep(0.6)
        assert capture.hanging == ["camera"] * hangs
        freed.set()
        with pytest.raises(SourceError, match="it sends nothing"):
            drain(capture)
        assert capture.hanging == []
