"""What every source of frames is."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from types import TracebackType

from edgead.errors import SourceError
from edgead.frame import Frame, Image, LostFrame, Reading


class Source(ABC):
    """Frames from somewhere, one after another.

    Making a source takes no resource: `open` does, and `close` frees them; `with source:` calls both. A new kind of
    source writes `open`, `close` and `read`, and makes what it delivers with `_frame` and `_lost`.

    name: for records and people, credentials removed. live: frames come at their own pace whether or not anybody
    reads. freshest: set before opening; a live source then replaces a frame that nobody has read yet by the newer one
    and counts it in `dropped`, where otherwise it would hold the camera back. fps: frames/s as far as the source
    knows. opening: seconds that `open` may take until its camera has answered, or is known not to.
    """

    live = False
    opening = 0.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.freshest = False
        self.fps: float | None = None
        self._next_id = 0

    @property
    def dropped(self) -> int:
        """Frames that were captured and replaced by newer ones before anybody read them."""
        return 0

    @abstractmethod
    def open(self) -> None:
        """Take the camera, file or folder. Raises SourceError when that fails."""

    @abstractmethod
    def read(self, timeout: float) -> Reading:
        """The next frame, the news that it was lost, END, or TIMEOUT when none came within `timeout` seconds.

        A source whose frames are all there already always has an answer and need not look at `timeout`. Raises
        SourceError when it has failed for good; a camera that may come back has not.
        """

    @abstractmethod
    def close(self) -> None:
        """Free what `open` took; also after an `open` that failed half way. Calling it twice is allowed."""

    def __enter__(self) -> Source:
        self._next_id = 0
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _frame(self, image: Image, *, source: str = "", captured_at: float | None = None) -> Frame:
        return Frame(image, self._number(), source or self.name, time.time() if captured_at is None else captured_at)

    def _lost(self, reason: str, *, source: str = "") -> LostFrame:
        return LostFrame(self._number(), source or self.name, time.time(), reason)

    def _number(self) -> int:
        number = self._next_id
        self._next_id += 1
        return number

    def _not_open(self) -> SourceError:
        return SourceError("the source is not open", self.name, "read it inside `with source:`")
