"""A video file as a source."""

from __future__ import annotations

from pathlib import Path

from edgead.errors import SourceError
from edgead.frame import Reading, Signal
from edgead.sources.base import Source
from edgead.sources.capture import FAILURES, Capture, ffmpeg_backend


class VideoFile(Source):
    """Every frame of a video file, in order.

    The frame count in the file's header is held against what can be read: a frame that cannot be decoded is a
    LostFrame, and a file that stops early ends in SourceError, never in a silent END. Frames that the decoder skips
    inside the file are therefore reported when the file ends. A file without a count ends at its first read that
    gives nothing.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path))
        self._path = Path(path)
        self._capture: Capture | None = None

    def open(self) -> None:
        """Open the file. Raises SourceError where it is missing or is no video."""
        if not self._path.is_file():
            raise SourceError("there is no such video file", self.name, "check the path")
        todo = "check that it is a whole video file (one that was cut off while recording has lost its index)"
        self._capture = Capture(str(self._path), ffmpeg_backend(), name=self.name, todo=todo)
        self.fps = self._capture.fps

    def read(self, timeout: float) -> Reading:
        """The next frame; `timeout` is not needed, as a file always answers."""
        if self._capture is None:
            raise self._not_open()
        image = self._capture.read()
        if not isinstance(image, str):
            return self._frame(image)
        count, failures = self._capture.count, self._capture.failures
        if failures and self._next_id >= count:
            return Signal.END
        if failures > FAILURES:
            reached = self._next_id - FAILURES
            what = f"the video stops at frame {reached} of {count}"
            raise SourceError(what, self.name, "it is damaged or was cut off: copy or record it again")
        return self._lost(image)

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.close()
            self._capture = None
