"""Results as an annotated video."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from edgead.frame import Frame, Image, LostFrame
from edgead.result import Result
from edgead.sinks.annotate import annotate
from edgead.sinks.base import Sink
from edgead.sources.base import Source

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # what OpenCV's wheels can encode everywhere
FPS = 25.0
LONGEST_SIDE = 1280  # drawing and encoding larger pictures takes longer than most detectors
_SPARE = 1 << 20  # bytes of disk to leave free: the encoder's buffers and the index, which is written last
_INDEX_ENTRY = 64  # bytes per frame, generously


class VideoSink(Sink):
    """Every judged frame with its heat map, boxes and verdict; lost frames are not in it.

    The video grows under a temporary name beside `path` and takes its name when the sink closes, also when the run
    ended in an error. Its size is that of the first frame, at most 1280 pixels a side. OpenCV's writer does not tell
    when the disk is full, so the sink stops while there is still room for the index, and counts the frames of the
    file before it takes its name.

    source: gives the frames/s, where it knows them (else 25); frames that policy `latest` drops make the video faster
    than life, and so do those of a camera that are skipped because encoding takes longer than judging. scale: the raw
    values of the anomaly map shown as nothing and as the hottest; by default from 0 to the highest value so far.
    """

    def __init__(
        self, path: str | Path, *, source: Source | None = None, scale: tuple[float, float] | None = None
    ) -> None:
        super().__init__(path)
        self._partial = self.path.with_name(f".{self.path.stem}.{os.getpid()}.partial{self.path.suffix}")
        self._source, self._scale = source, scale
        self.may_skip = source is not None and source.live
        self._hottest = 0.0
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0
        self._made = False

    def open(self) -> None:
        """Check that the file can be made; the encoder starts with the first frame, which gives the size."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            self._partial.touch()
            self._made = True
        except OSError as error:
            raise self._failed(f"cannot make the video: {error.strerror}") from error

    def write(self, result: Result, frame: Frame) -> None:
        """Add one frame."""
        writer = self._writer or self._start(frame.image)
        disk = os.statvfs(self.path.parent)
        if disk.f_bavail * disk.f_frsize < _SPARE + 3 * self._size[0] * self._size[1] + _INDEX_ENTRY * self._written:
            raise self._failed("the disk is full")
        if result.anomaly_map.size:
            self._hottest = max(self._hottest, float(result.anomaly_map.max()))
        writer.write(annotate(result, frame.image, self._scale or (0.0, self._hottest), *self._size))
        self._written += 1

    def lost(self, lost: LostFrame) -> None:
        """A lost frame has no picture."""

    def flush(self) -> None:
        """A video is whole when it is closed, and not before."""

    def close(self) -> None:
        """Finish the video, check it, and give it its name; a video without frames is not kept."""
        try:
            if self._writer is not None:
                self._writer.release()
                self._writer = None
                self._keep()
        finally:
            if self._made:
                self._partial.unlink(missing_ok=True)
                self._made = False

    def _start(self, image: Image) -> cv2.VideoWriter:
        height, width = image.shape[:2]
        ratio = min(1.0, LONGEST_SIDE / max(height, width))
        even = (int(width * ratio) // 2 * 2, int(height * ratio) // 2 * 2)  # as 4:2:0 needs
        self._size = (max(even[0], 160), max(even[1], 120))
        codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        fps = (self._source.fps if self._source else None) or FPS
        writer = cv2.VideoWriter(str(self._partial), codec, fps, self._size)
        if not writer.isOpened():
            raise self._failed(
                f"this build of OpenCV cannot write {self.path.suffix} video", f"use {' or '.join(CODECS)}"
            )
        self._writer = writer
        return writer

    def _keep(self) -> None:
        if not self._written:
            return
        finished = cv2.VideoCapture(str(self._partial))
        held = int(finished.get(cv2.CAP_PROP_FRAME_COUNT)) if finished.isOpened() else 0
        finished.release()
        if held < self._written:
            raise self._failed(f"the video holds {held} of {self._written} frames, it is not kept")
        try:
            with self._partial.open("rb") as written:
                os.fsync(written.fileno())
            self._partial.replace(self.path)
        except OSError as error:
            raise self._failed(f"cannot finish the video: {error.strerror}") from error
