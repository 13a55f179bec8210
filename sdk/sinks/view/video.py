"""Results as an annotated video."""

from __future__ import annotations

import os
from pathlib import Path

from edgead.frame import Frame, Image, LostFrame
from edgead.result import Result
from edgead.sinks.base import Sink
from edgead.sinks.view.annotate import annotate
from edgead.sinks.view.encoder import Encoder
from edgead.sinks.view.encoders import AUTO, check, frames_in, open_encoder
from edgead.sinks.view.heat import Heat
from edgead.sources.base import Source

FPS = 25.0
LONGEST_SIDE = 1280  # drawing and encoding larger pictures takes longer than most detectors
_SPARE = 1 << 20  # bytes of disk to leave free: the encoder's buffers and the index, which is written last
_INDEX_ENTRY = 64  # bytes per frame, generously


class VideoSink(Sink):
    """Every judged frame with its heat map, boxes and verdict; lost frames are not in it.

    The video grows under a temporary name beside `path` and takes its name when the sink closes, also when the run
    ended in an error. Its size is that of the first frame, at most 1280 pixels a side. An encoder may not tell
    when the disk is full, so the sink stops while there is still room for the index, and counts the frames of the
    file before it takes its name.

    source: gives the frames/s, where it knows them (else 25); frames that policy `latest` drops make the video faster
    than life, and so do those of a camera that are skipped because encoding takes longer than judging. scale: the raw
    values of the anomaly map shown as nothing and as the hottest, or a `Heat`, which says them for each bundle; by
    default from 0 to the highest value so far. encoder: `auto`, `opencv`, or one of `sdk/sinks/view/encoders.py`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        source: Source | None = None,
        scale: tuple[float, float] | Heat | None = None,
        encoder: str = AUTO,
    ) -> None:
        super().__init__(path)
        self._partial = self.path.with_name(f".{self.path.stem}.{os.getpid()}.partial{self.path.suffix}")
        self._source, self._name = source, encoder
        self._heat = scale if isinstance(scale, Heat) else Heat(scale)
        self.may_skip = source is not None and source.live
        self._encoder: Encoder | None = None
        self._size = (0, 0)
        self._written = 0
        self._made = False

    def open(self) -> None:
        """Check that the file can be made; the encoder starts with the first frame, which gives the size."""
        check(self._name, self.path)
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
        encoder = self._encoder or self._start(frame.image)
        try:
            disk = os.statvfs(self.path.parent)
        except OSError as error:
            raise self._failed(f"the folder of the video cannot be reached: {error.strerror}") from error
        if disk.f_bavail * disk.f_frsize < _SPARE + 3 * self._size[0] * self._size[1] + _INDEX_ENTRY * self._written:
            raise self._failed("the disk is full")
        encoder.write(annotate(result, frame.image, self._heat.of(result), *self._size))
        self._written += 1

    def lost(self, lost: LostFrame) -> None:
        """A lost frame has no picture."""

    def flush(self) -> None:
        """A video is whole when it is closed, and not before."""

    def close(self) -> None:
        """Finish the video, check it, and give it its name; a video without frames is not kept."""
        try:
            if self._encoder is not None:
                encoder, self._encoder = self._encoder, None
                encoder.close()
                self._keep()
        finally:
            if self._made:
                self._partial.unlink(missing_ok=True)
                self._made = False

    def _start(self, image: Image) -> Encoder:
        height, width = image.shape[:2]
        ratio = min(1.0, LONGEST_SIDE / max(height, width))
        even = (int(width * ratio) // 2 * 2, int(height * ratio) // 2 * 2)  # as 4:2:0 needs
        self._size = (max(even[0], 160), max(even[1], 120))
        fps = (self._source.fps if self._source else None) or FPS
        self._encoder = open_encoder(self._name, self._partial, self.where, self._size, fps)
        return self._encoder

    def _keep(self) -> None:
        if not self._written:
            return
        held = frames_in(self._partial)
        if held < self._written:
            raise self._failed(f"the video holds {held} of {self._written} frames, it is not kept")
        try:
            with self._partial.open("rb") as written:
                os.fsync(written.fileno())
            self._partial.replace(self.path)
        except OSError as error:
            raise self._failed(f"cannot finish the video: {error.strerror}") from error
