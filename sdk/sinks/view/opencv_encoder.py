"""Videos by OpenCV, which every installation has."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgead.errors import SinkError
from edgead.frame import Image

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # what OpenCV's wheels can encode everywhere


class OpenCvEncoder:
    """MPEG-4 in an .mp4, JPEGs in an .avi. It does not tell when the disk is full.

    path: the file. where: what errors call it. size: width and height in pixels. fps: frames/s.
    """

    def __init__(self, path: Path, where: str, size: tuple[int, int], fps: float) -> None:
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()]), fps, size)
        if not self._writer.isOpened():
            what = f"this build of OpenCV cannot write {path.suffix} video"
            raise SinkError(what, where, f"use {' or '.join(CODECS)}")

    def write(self, image: Image) -> None:
        """Add a picture."""
        self._writer.write(image)

    def close(self) -> None:
        """Write the index."""
        self._writer.release()
