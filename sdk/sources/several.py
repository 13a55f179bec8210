"""Several cameras as one source: each at its own pace, none in the way of another."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame, Reading, Signal
from edgead.handover import Handover
from edgead.sources.base import Source

POLL_SECONDS = 0.2  # how late the end of a reading thread may be noticed
CLOSE_SECONDS = 10.0
_WAITING = 2  # of each camera: a frame, and the news of a lost one that must not hold it up


class Several(Source):
    """Frames of several sources, in the order of their arrival; a frame's `source` says whose it is, and `frame_id`
    counts up within each.

    Every source has a thread of its own, so that a slow one or one that waits for its camera holds up no other. With
    `freshest` a frame that waits gives way to a newer one of the same camera alone. All of them have to open; one that
    fails for good ends all, once what came before it was read. It ends when each of them has.

    live: where all are. Two of the same name, as one camera given twice, are refused.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__(" + ".join(source.name for source in sources))
        names = [source.name for source in sources]
        if not sources:
            raise SourceError("no source is given", "cameras", "give at least one")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SourceError("a source is given twice", twice, "give each camera once")
        self.sources = tuple(sources)
        self.live = all(source.live for source in sources)
        self._frames: Handover[Frame | LostFrame] = Handover(_WAITING)
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._left = 0
        self._lock = threading.Lock()

    @property
    def dropped(self) -> int:
        """Frames that were captured and replaced by newer ones, in the cameras and between them and the reader."""
        return self._frames.dropped + sum(source.dropped for source in self.sources)

    def open(self) -> None:
        """Open all, one after the other. Raises SourceError for the first that fails; the others are closed again."""
        self._frames, self._closing = Handover(_WAITING), threading.Event()
        for source in self.sources:
            source.freshest = self.freshest
            source.__enter__()
        rates = [source.fps for source in self.sources if source.fps]
        self.fps = sum(rates) if len(rates) == len(self.sources) else None
        self._left = len(self.sources)
        self._threads = [
            threading.Thread(target=self._read, args=(source, self._frames, self._closing), name="edgead-cameras")
            for source in self.sources
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def read(self, timeout: float) -> Reading:
        """The frame that has waited longest."""
        if not self._threads:
            raise self._not_open()
        return self._frames.take(timeout)

    def close(self) -> None:
        """Close all; a camera that does not answer is left to its thread."""
        self._closing.set()
        self._frames.close()
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)
        self._threads = []
        for source in self.sources:
            source.close()

    def _read(self, source: Source, frames: Handover[Frame | LostFrame], closing: threading.Event) -> None:
        try:
            while not closing.is_set():
                reading = source.read(POLL_SECONDS)
                if reading is Signal.END:
                    break
                if isinstance(reading, Signal):
                    continue
                replaces = self.freshest and isinstance(reading, Frame)
                if not frames.put(reading, replaces=replaces, lane=source.name):
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again in `read`
            frames.end(error)
            return
        with self._lock:
            self._left -= 1
            if not self._left:
                frames.end()
