"""The threads of a stream that read its sources and prepare what they give."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgead.errors import FrameError, SourceError
from edgead.frame import Frame, Image, LostFrame, Signal
from edgead.handover import NEWS, Handover
from edgead.sources import Source

log = logging.getLogger(__name__)

QUEUE = 4  # frames and faults of a source that may wait for the engine
QUEUE_OF_SEVERAL = 2  # where there are several: a frame, and the news of a lost one that must not hold it up
POLL_SECONDS = 0.2  # how late a request to stop may be noticed
HANGING_SECONDS = 30.0  # how long a source may take to open or to answer, or a frame to be prepared, until it is said
STOP_SECONDS = 10.0  # how long a source may take to answer or to close before the run ends without it


@dataclass(frozen=True)
class Prepared:
    """A frame on its way to the engine. ready: what the detector made of it. timing: milliseconds so far. age: seconds
    since its capture at `since`, a time.perf_counter()."""

    frame: Frame
    ready: Any
    timing: dict[str, float]
    age: float
    since: float


class Capture:
    """Reads every source in a thread of its own, so that a slow one holds up no other, and prepares there what it gave.

    What is ready waits in one bounded queue, in the order of its arrival, for `take`. With `freshest` a frame that
    waits gives way to a newer one of the same source; else a source waits for room. Frames of one source keep their
    order. All sources have to open before any is read. One that fails ends all: `take` raises its error once what was
    read before it was taken.

    prepare: runs in several threads at once. stop: when set, nothing more is read. most: how many frames are read of
    each source at most. Raises SourceError where no source is given, or two of the same name.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        prepare: Callable[[Image], Any],
        *,
        freshest: bool,
        stop: threading.Event,
        most: int | None = None,
    ) -> None:
        names = [source.name for source in sources]
        if not sources:
            raise SourceError("no source is given", "cameras", "give at least one")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SourceError("a source is given twice", twice, "give each camera once")
        self.name = " + ".join(names)
        self._sources = tuple(sources)
        for source in sources:
            source.freshest = freshest
        self._prepare, self._freshest, self._stop, self._most = prepare, freshest, stop, most
        self._over = threading.Event()  # nothing more is read, since nobody will take it or a source has failed
        self.error: BaseException | None = None
        """What the first source that failed has failed with; `take` raises it."""
        self._failed_at = 0.0
        queue = NEWS if freshest else QUEUE if len(sources) == 1 else QUEUE_OF_SEVERAL
        self._frames: Handover[Prepared | LostFrame] = Handover(queue)
        self._opened = threading.Barrier(len(sources))
        self._due = dict.fromkeys(names, math.inf)  # when each has to have come back, if it was asked
        self._lock = threading.Lock()
        self._delivered = 0
        self._left = len(sources)
        self._threads = [
            threading.Thread(target=self._run, args=(source,), name="edgead-capture", daemon=True) for source in sources
        ]

    @property
    def delivered(self) -> int:
        """Readings of all sources, lost frames among them, and what a source dropped itself."""
        return self._delivered + self._dropped_by_sources

    @property
    def dropped(self) -> int:
        """Frames that gave way to newer ones."""
        return self._frames.dropped + self._dropped_by_sources

    @property
    def hanging(self) -> list[str]:
        """The sources that have not answered for HANGING_SECONDS, or whose frame is not prepared since then; one that
        opens may take as long as it says."""
        now = time.monotonic()
        return [name for name, due in self._due.items() if now > due]

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._threads[0].ident is not None

    def start(self) -> None:
        """Open the sources and begin to read, in their threads."""
        for thread in self._threads:
            thread.start()

    def take(self, limit: int) -> list[Prepared | LostFrame] | Literal[Signal.TIMEOUT, Signal.END]:
        """What waits, at most `limit` items; TIMEOUT after POLL_SECONDS without any; END when nothing more will come.

        Raises what a source has failed with, STOP_SECONDS later at most, whether the others answer or not.
        """
        items = self._frames.take_some(POLL_SECONDS, limit)
        if items is Signal.TIMEOUT and self.error is not None and time.monotonic() - self._failed_at > STOP_SECONDS:
            raise self.error
        return items

    def leave(self) -> None:
        """Nobody will take anything any more: all threads end as soon as their sources let them."""
        self._over.set()
        self._opened.abort()
        self._frames.close()

    def join(self) -> bool:
        """Wait for the threads to end, at most STOP_SECONDS; False where one does not."""
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def _dropped_by_sources(self) -> int:
        return sum(source.dropped for source in self._sources)

    def _run(self, source: Source) -> None:
        """One source's thread: open, read, prepare, hand over."""
        self._due[source.name] = time.monotonic() + max(HANGING_SECONDS, source.opening)
        try:
            with source:
                self._due[source.name] = math.inf
                if self._all_are_open():
                    self._read(source)
        except BaseException as error:  # noqa: BLE001 - `take` raises it in the thread that takes
            with self._lock:
                if self._over.is_set():
                    log.warning("%s", error)
                self.error, self._failed_at = self.error or error, self._failed_at or time.monotonic()
            self._over.set()
            self._opened.abort()
        finally:
            self._due[source.name] = math.inf
            with self._lock:
                self._left -= 1
                if not self._left:
                    self._frames.end(self.error)

    def _all_are_open(self) -> bool:
        """Wait for that; False where one of them does not open, and has said why, or where nobody waits any more."""
        try:
            self._opened.wait()
        except threading.BrokenBarrierError:
            return False
        return True

    def _read(self, source: Source) -> None:
        frames = 0
        begin = time.perf_counter()
        while not self._stop.is_set() and not self._over.is_set():
            self._due[source.name] = time.monotonic() + HANGING_SECONDS
            reading = source.read(POLL_SECONDS)
            if reading is Signal.TIMEOUT:
                continue
            if reading is Signal.END:
                return
            with self._lock:
                self._delivered += 1
            item = self._prepared(reading, begin, live=source.live) if isinstance(reading, Frame) else reading
            frames += isinstance(reading, Frame)
            replaces = self._freshest and isinstance(item, Prepared)
            self._due[source.name] = math.inf  # from here on it may be the engine that it waits for
            # A folder's images each have a name of their own, so the lane is the source's.
            if not self._frames.put(item, replaces=replaces, lane=source.name):
                return
            if not self._freshest and frames == self._most:
                return
            begin = time.perf_counter()

    def _prepared(self, frame: Frame, begin: float, *, live: bool) -> Prepared | LostFrame:
        read = time.perf_counter()
        try:
            ready = self._prepare(frame.image)
        except FrameError as error:
            return refused(frame, error)
        done = time.perf_counter()
        # A live source may hold a frame before it is read, and its clock is the wall's, which may be set meanwhile
        age = max(0.0, time.time() - frame.captured_at) if live else done - read
        return Prepared(frame, ready, {"capture": (read - begin) * 1e3, "prepare": (done - read) * 1e3}, age, done)


def refused(frame: Frame, error: FrameError) -> LostFrame:
    """What becomes of a frame that the detector does not take."""
    return LostFrame(frame.frame_id, frame.source, frame.captured_at, error.what)
