"""What a slow sink does to the line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks.base import Sink
from edgead.sinks.lane import QUEUE, Lane

Make = Callable[..., tuple[Result, Frame]]


class Picture(Sink):
    """Takes nothing until it is let."""

    may_skip = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go, self.seen = threading.Event(), list[int]()

    def open(self) -> None:
        """Nothing."""

    def write(self, result: Result, frame: Frame) -> None:
        self.go.wait(10)
        self.seen.append(frame.frame_id)

    def lost(self, lost: LostFrame) -> None:
        self.go.wait(10)
        self.seen.append(lost.frame_id)

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def test_lost_frames_do_not_wait_for_a_picture_either(tmp_path: Path, make_result: Make) -> None:
    sink = Picture(tmp_path / "picture")
    lane = Lane(sink, pause=0.05, told=lambda _: None, on_error=lambda _: None)
    for number in range(QUEUE):
        lane.put(make_result(number))
    for number in (100, 101):
        line = threading.Thread(target=lane.put, args=(LostFrame(number, "cell", 0.0, "gone"),), daemon=True)
        line.start()
        line.join(5)
        assert not line.is_alive()
    lane.thread.start()
    sink.go.set()
    until = time.monotonic() + 10
    while len(sink.seen) <= QUEUE and time.monotonic() < until:
        time.sleep(0.005)
    lane.end()
    lane.thread.join(10)
    assert sink.seen == [*range(QUEUE), 101]  # once the line pauses, the newest fault is seen


class Paper(Picture):
    """Keeps what a record says."""

    may_skip, lean = False, True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.sizes = list[tuple[int, int]]()

    def write(self, result: Result, frame: Frame) -> None:
        super().write(result, frame)
        self.sizes.append((frame.image.size, result.anomaly_map.size + result.pred_mask.size))
        assert result.record()["regions"]


def test_many_records_wait_without_their_frames(tmp_path: Path, make_result: Make) -> None:
    sink = Paper(tmp_path / "paper")
    lane = Lane(sink, pause=0.05, told=lambda _: None, on_error=lambda _: None)
    for number in range(60):
        lane.put(make_result(number))
    assert sink.behind and lane.waiting == 60
    lane.thread.start()
    sink.go.set()
    lane.end()
    lane.thread.join(10)
    assert sink.seen == list(range(60)) and not sink.behind
    assert [image > 0 for image, _ in sink.sizes] == [maps > 0 for _, maps in sink.sizes]
    assert [image > 0 for image, _ in sink.sizes] == [True] * QUEUE + [False] * (60 - QUEUE)
