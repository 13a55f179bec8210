"""What brings results to the sinks while the next frame is judged."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence

from edgead.errors import SinkError
from edgead.histogram import Histogram
from edgead.sinks.base import Sink
from edgead.sinks.lane import Lane, Record
from edgead.sinks.spooled import SpooledSink

PAUSE_SECONDS = 1.0
FINISH_SECONDS = 60.0


class SinkWriter:
    """Owns the sinks of a run: opens, fills and closes each in a thread of its own.

    A sink of records that is held up makes `put` wait once BACKLOG of them wait in memory. Others do while their queue
    is full, so that nothing is dropped, but for a video of a camera, which skips frames. When a sink fails, `on_error`
    is told, the other sinks still get every record that is put, and all are closed. `timing` counts the milliseconds
    that one record takes in one sink. Raises SinkError for two sinks with one spool: they would send everything twice.
    """

    def __init__(self, sinks: Sequence[Sink], timing: Histogram, on_error: Callable[[BaseException], None]) -> None:
        self._timing, self._lock = timing, threading.Lock()
        self._spooled = [sink for sink in sinks if isinstance(sink, SpooledSink)]
        places = [sink.path.resolve() for sink in self._spooled]
        if twice := [sink.where for sink, place in zip(self._spooled, places, strict=True) if places.count(place) > 1]:
            raise SinkError("two sinks are for the same place", twice[0], "give it once")
        run = secrets.token_hex(8)
        for sink in sinks:
            sink.run = run
        prompt = [sink for sink in sinks if sink.prompt]
        others = [sink for sink in sinks if not sink.prompt and not isinstance(sink, SpooledSink)]
        self._lanes = [  # those last that may make `put` wait
            Lane(sink, pause=PAUSE_SECONDS, told=self._took, on_error=on_error)
            for sink in (*prompt, *self._spooled, *others)
        ]

    @property
    def spooled(self) -> int:
        """Records that wait, in spools or on their way there, for sinks that do not have them yet."""
        lanes = [lane for lane in self._lanes if isinstance(lane.sink, SpooledSink) and lane.thread.is_alive()]
        return sum(lane.waiting for lane in lanes) + sum(sink.waiting for sink in self._spooled)

    @property
    def troubles(self) -> dict[str, str]:
        """What keeps which sink from its work; no secrets."""
        return {lane.sink.where: trouble for lane in self._lanes if (trouble := lane.trouble)}

    def start(self) -> None:
        """Open the sinks; one that cannot be opened has been told to `on_error` when this returns."""
        for lane in self._lanes:
            lane.thread.start()
        for lane in self._lanes:
            lane.opened.wait()

    def put(self, record: Record) -> None:
        """Hand a record over."""
        for lane in self._lanes:
            lane.put(record)

    def finish(self) -> None:
        """Write what was put, close the sinks, and wait for that. Raises SinkError when they do not come to an end."""
        until = time.monotonic() + FINISH_SECONDS
        for lane in self._lanes:
            lane.end()
        for lane in self._lanes:
            if lane.thread.is_alive():
                lane.thread.join(max(0.0, until - time.monotonic()))
        stuck = [lane for lane in self._lanes if lane.thread.is_alive()]
        if stuck:
            missing = max(lane.waiting for lane in stuck)
            what = f"writing did not end within {FINISH_SECONDS:.0f} s, {missing} records are not written"
            raise SinkError(what, ", ".join(lane.sink.where for lane in stuck), "check that disk")

    def _took(self, milliseconds: float) -> None:
        with self._lock:
            self._timing.add(milliseconds)
