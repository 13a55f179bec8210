"""Where pictures are made: in one thread, so that those who look never take more than one core."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from edgead.frame import Frame
from edgead.result import Result
from edgead.sinks.view.heat import Heat
from edgead.web.board import Latest, score_of
from edgead.web.picture import annotated, jpeg

SIZES = (480, 800, 1280)  # pixels of the longer side that a browser may ask for
REJECTS = 24  # kept, each as a JPEG of some 50 kB
WAITING = 4  # rejects whose frames may wait for their picture; a burst of more keeps its numbers alone
REJECT_SIZE = 800


@dataclass
class Reject:
    """A rejected part. number: counts rejects from 1. picture: JPEG, None until it is made, or where too many came at
    once (`skipped`)."""

    number: int
    camera: int
    frame_id: int
    source: str
    captured_at: float
    score: float | None
    regions: int
    part: str | None
    picture: bytes | None = None
    skipped: bool = False

    def to_json(self) -> dict[str, Any]:
        """What the gallery lists."""
        picture = "skipped" if self.skipped else "made" if self.picture is not None else "waiting"
        known = {key: value for key, value in vars(self).items() if key not in ("picture", "skipped")}
        return {**known, "picture": picture}


class Darkroom:
    """Makes the live picture when somebody asks for it, and a small picture of each reject.

    scale: see `annotated`, or a `Heat`, which says it for each bundle; by default from 0 to the highest value so far.
    """

    def __init__(self, scale: tuple[float, float] | Heat | None = None) -> None:
        self._heat = scale if isinstance(scale, Heat) else Heat(scale)
        self._live: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._rejects: deque[Reject] = deque(maxlen=REJECTS)
        self._count = self._waiting = 0
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="edgead-darkroom")

    def close(self) -> None:
        """End the thread, without the pictures that wait."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def live(self, camera: int, latest: Latest, longest: int) -> Future[bytes]:
        """The JPEG of a camera's newest result; those who ask for the same one share it."""
        return self._thread.submit(self._develop, camera, latest, longest)

    def keep(self, camera: int, result: Result, frame: Frame) -> None:
        """Note a reject; its picture is made later. Returns at once."""
        part = None if result.part is None else result.part.name
        place = (camera, result.frame_id, result.source, result.captured_at)
        with self._lock:
            self._count += 1
            reject = Reject(self._count, *place, score_of(result), len(result.regions), part)
            reject.skipped = self._waiting >= WAITING
            self._waiting += not reject.skipped
            self._rejects.append(reject)
        if not reject.skipped:
            self._thread.submit(self._print, reject, result, frame)

    def reject(self, number: int) -> Reject | None:
        """The reject of that number, while it is kept."""
        with self._lock:
            return next((one for one in self._rejects if one.number == number), None)

    def rejects(self) -> list[dict[str, Any]]:
        """The rejects that are kept, newest first."""
        with self._lock:
            kept = list(self._rejects)
        return [one.to_json() for one in reversed(kept)]

    def _develop(self, camera: int, latest: Latest, longest: int) -> bytes:
        number, data = self._live.get((camera, longest), (0, b""))
        if number != latest.number:
            data = self._jpeg(latest.result, latest.frame, longest)
            self._live[camera, longest] = (latest.number, data)
        return data

    def _print(self, reject: Reject, result: Result, frame: Frame) -> None:
        try:
            reject.picture = self._jpeg(result, frame, REJECT_SIZE)
        except BaseException:
            reject.skipped = True
            raise
        finally:
            with self._lock:
                self._waiting -= 1

    def _jpeg(self, result: Result, frame: Frame, longest: int) -> bytes:
        return jpeg(annotated(result, frame.image, self._heat.of(result), longest))
