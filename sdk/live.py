"""A detector that gives way to another one while a stream runs, between two frames."""

from __future__ import annotations

import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from edgead.bands import Bands
from edgead.detector import Detector
from edgead.errors import EdgeadError, EngineError
from edgead.evaluation.thresholds import Thresholds
from edgead.frame import Frame, Image
from edgead.pipeline.base import Answer
from edgead.result import Result

log = logging.getLogger(__name__)


class _Owned:
    """A detector, and the frames that it has prepared and not inferred."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.under_way: set[object] = set()


class Ticket:
    """A prepared frame, and whose it is. It ends with `release`, or when nobody holds it any more: under `latest` a
    frame gives way to a newer one. Python may find that out in any thread, in the midst of anything; so it is noted in
    one step of the interpreter, without a lock."""

    def __init__(self, owner: _Owned) -> None:
        self.owner = owner
        self.ready: Any = None
        place = object()
        owner.under_way.add(place)
        self._finalizer = weakref.finalize(self, owner.under_way.discard, place)
        self._finalizer.atexit = False

    def release(self) -> None:
        self._finalizer()


@dataclass(frozen=True)
class Said:
    """What a detector says of a frame, and which one."""

    detector: Detector
    answer: Answer


class LiveDetector:
    """What `edgead.stream` takes as a detector, with another one behind it whenever `swap` says so:

        with edgead.LiveDetector(edgead.load("part.edgead")) as detector:
            for result in edgead.stream(detector, "rtsp://cell-4/top"):
                if new_part_is_coming():
                    detector.swap(edgead.load("other.edgead"))

    A frame is inferred and judged by the detector that prepared it. So each frame has one verdict, the frames that were
    on their way at a swap have theirs from the detector of before, and those that come after it from the new one.

    It owns its detectors: one that was replaced is closed, by the thread that infers, once no frame of it is left, and
    `close`, or the end of a `with` block, closes the others. on_change: called with a detector, in the thread that
    judges, right before it judges a frame and another one has judged the frame before; around a swap the frames of
    several cameras may come from both in turns. Loading takes its time and the engine's device; do it in another thread
    where the line should not wait. `swap` is for any thread.
    """

    def __init__(self, detector: Detector, *, on_change: Callable[[Detector], None] | None = None) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._owned = _Owned(detector)
        self._replaced: list[_Owned] = []
        self._judging = detector
        self._closed = False
        self.max_batch = detector.max_batch
        """Of `current`. `infer_some` takes more frames as well, in several calls of the engine."""
        self.shape: tuple[int, ...] | None = None
        """Of the last frame that was prepared."""

    @property
    def current(self) -> Detector:
        """The one that prepares frames."""
        return self._owned.detector

    @property
    def judging(self) -> Detector:
        """The one that judged the last frame; after a swap it becomes the current one with the first frame of it."""
        return self._judging

    @property
    def bands(self) -> Bands:
        """What the scores of `judging` mean; others may be assigned, as to a `Detector`."""
        return self._judging.bands

    @bands.setter
    def bands(self, bands: Bands) -> None:
        self._judging.bands = bands

    @property
    def thresholds(self) -> Thresholds:
        """Of `judging`, in raw units."""
        return self._judging.thresholds

    def swap(self, detector: Detector) -> None:
        """Have another detector take the frames from now on; it belongs to this object then. Raises EngineError after
        `close`, and ValueError for a detector that is here already; then it stays the caller's."""
        with self._lock:
            if self._closed:
                raise EngineError("the line has ended", "swap", "start it again")
            if any(owned.detector is detector for owned in [self._owned, *self._replaced]):
                raise ValueError("the detector is in use already: load another one")
            self._replaced.append(self._owned)
            self._owned = _Owned(detector)
            self.max_batch = detector.max_batch

    def prepare(self, image: Image) -> Ticket:
        """As `Detector.prepare`, by the current detector."""
        with self._lock:  # of a detector that was replaced, no ticket may come any more
            ticket = Ticket(self._owned)
        try:
            ticket.ready = ticket.owner.detector.prepare(image)
        except BaseException:
            ticket.release()
            raise
        self.shape = image.shape
        return ticket

    def infer(self, prepared: Ticket) -> Said:
        """As `Detector.infer`, by the detector that prepared the frame."""
        detector = prepared.owner.detector
        try:
            return Said(detector, detector.infer(prepared.ready))
        finally:
            self._done([prepared])

    def infer_some(self, prepared: Sequence[Ticket]) -> list[Said]:
        """As `Detector.infer_some`, of any number of frames: each detector has those that it prepared, at most its
        `max_batch` in one call."""
        said: list[Said] = []
        try:
            for owner, tickets in itertools.groupby(prepared, key=lambda ticket: ticket.owner):
                ready = [ticket.ready for ticket in tickets]
                detector, most = owner.detector, owner.detector.max_batch
                for begin in range(0, len(ready), most):
                    said += (Said(detector, answer) for answer in detector.infer_some(ready[begin : begin + most]))
        finally:
            self._done(prepared)
        return said

    def judge(self, answer: Said, frame: Frame, timing: dict[str, float]) -> Result:
        """As `Detector.judge`, by the detector that gave the answer."""
        if answer.detector is not self._judging:
            self._judging = answer.detector
            if self._on_change is not None:
                self._on_change(answer.detector)
        return answer.detector.judge(answer.answer, frame, timing)

    def close(self) -> None:
        """Free every detector that is here. Frames that were prepared cannot be inferred any more."""
        with self._lock:
            self._closed = True
            last, self._replaced = [*self._replaced, self._owned], []
        with ExitStack() as closing:  # one that fails keeps no other open
            for owned in last:
                closing.callback(owned.detector.close)

    def __enter__(self) -> LiveDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _done(self, tickets: Sequence[Ticket]) -> None:
        """Frames were inferred. Close what has no frame left; in this thread, as an engine on a GPU has to be freed
        where it runs."""
        for ticket in tickets:
            ticket.release()
        if not self._replaced:
            return
        with self._lock:
            idle = [owned for owned in self._replaced if not owned.under_way]  # looked at once: it may change meanwhile
            self._replaced = [owned for owned in self._replaced if owned not in idle]
        for owned in idle:
            try:
                owned.detector.close()
            except EdgeadError as error:  # the line goes on with another one
                log.warning("the detector of before was not freed: %s", error)
