"""What makes a video of pictures."""

from __future__ import annotations

from typing import Protocol

from edgead.frame import Image


class Encoder(Protocol):
    """A video file that grows. Its methods raise SinkError; after an error only `close` is called."""

    def write(self, image: Image) -> None:
        """Add a picture, uint8 [height, width, 3] BGR, of the size that the video has."""

    def close(self) -> None:
        """Finish the file and let go of it; also after an error, and when called twice."""
