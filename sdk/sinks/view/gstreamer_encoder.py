"""Videos by GStreamer, which reaches the encoders in hardware."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgead.errors import SinkError
from edgead.frame import Image
from edgead.sources.appsink import gstreamer, text_of

ANSWER_SECONDS = 10.0  # for a picture, for a change of state
QUEUE = 2  # pictures that wait for the encoder
_LOOK_SECONDS = 0.01
_ADVICE = "choose another one with --video-encoder; `opencv` needs nothing"


class GStreamerEncoder:
    """H.264 in an .mp4, by one of GStreamer's encoders.

    The file is playable at any time but for its last second, also when the process is killed, where GStreamer is of
    1.20 or later. An encoder that answers no more is left behind with its thread, and is an error.

    path: the file. where: what errors call it. size: width and height in pixels, both even. fps: frames/s. elements:
    what encodes I420 to H.264, in GStreamer's notation. patience: the most seconds to wait for an answer.
    """

    def __init__(
        self,
        path: Path,
        where: str,
        size: tuple[int, int],
        fps: float,
        elements: str,
        *,
        patience: float = ANSWER_SECONDS,
    ) -> None:
        self._gst = gst = gstreamer(where)
        self._where, self._name, self._patience = where, elements.rpartition("!")[2].split()[0], patience
        self._rate, self._written = Fraction(fps).limit_denominator(1001), 0
        try:
            line = gst.parse_launch(pipeline(size, self._rate, elements, muxer(gst)))
        except RuntimeError as error:  # GLib.Error is one
            raise self._failed(text_of(error)) from None
        self._pipeline: Any = line
        self._source, self._bus = line.get_by_name("pictures"), line.get_bus()
        line.get_by_name("file").set_property("location", str(path))
        self._broken = not self._within(self._patience, lambda: line.set_state(gst.State.PLAYING))
        if self._broken:
            raise self._failed("it does not start")

    def write(self, image: Image) -> None:
        """Add a picture; wait while the encoder is behind."""
        gst = self._gst
        content = planes(image)
        until = time.monotonic() + self._patience
        self._look(0.0)
        while self._source.get_property("current-level-bytes") >= QUEUE * len(content):
            if time.monotonic() > until:
                self._broken = True
                raise self._failed(f"it takes no picture for {self._patience:.0f} s")
            self._look(_LOOK_SECONDS)
        buffer = gst.Buffer.new_wrapped(content)
        start, end = (int(gst.SECOND * number / self._rate) for number in (self._written, self._written + 1))
        buffer.pts, buffer.duration = start, end - start
        if self._source.emit("push-buffer", buffer) != gst.FlowReturn.OK:
            self._look(self._patience)
            self._broken = True
            raise self._failed("it has ended")
        self._written += 1

    def close(self) -> None:
        """Wait for what is on its way, and finish the file."""
        if self._pipeline is None:
            return
        try:
            if not self._broken:
                self._source.emit("end-of-stream")
                if not self._look(2 * self._patience, end=True):
                    raise self._failed("it does not come to an end")
        finally:
            line, self._pipeline = self._pipeline, None
            self._within(self._patience, lambda: line.set_state(self._gst.State.NULL))

    def _look(self, seconds: float, *, end: bool = False) -> bool:
        """Whether the end came, within so many seconds. Raises SinkError for the first error of the pipeline."""
        kinds = self._gst.MessageType.ERROR
        if end:
            kinds |= self._gst.MessageType.EOS
        message = self._bus.timed_pop_filtered(int(seconds * self._gst.SECOND), kinds)
        if message is None or message.type == self._gst.MessageType.EOS:
            return message is not None
        self._broken = True
        error = message.parse_error()[0]
        if error.matches(self._gst.ResourceError.quark(), self._gst.ResourceError.NO_SPACE_LEFT):
            raise SinkError("the disk is full", self._where, "free space, then start again")
        raise self._failed(text_of(error))

    def _failed(self, why: str) -> SinkError:
        return SinkError(f"GStreamer's {self._name} cannot encode the video: {why}", self._where, _ADVICE)

    @staticmethod
    def _within(seconds: float, action: Callable[[], object]) -> bool:
        """Whether something that may never come back did so in time; else its thread is left to it."""
        thread = threading.Thread(target=action, name="edgead-encoder", daemon=True)
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()


def pipeline(size: tuple[int, int], rate: Fraction, elements: str, mux: str) -> str:
    """The whole pipeline, from pictures in I420 to a file, in GStreamer's notation."""
    caps = f"video/x-raw,format=I420,width={size[0]},height={size[1]},framerate={rate.numerator}/{rate.denominator}"
    source = f"appsrc name=pictures format=time caps={caps},colorimetry=bt601,pixel-aspect-ratio=1/1"
    return f"{source} ! {elements} ! h264parse ! {mux} ! filesink name=file"


def muxer(gst: Any) -> str:
    """What makes an .mp4: of pieces of a second, joined at the end, where GStreamer knows that."""
    made = gst.ElementFactory.make("mp4mux", None)
    joins = made is not None and made.find_property("fragment-mode") is not None
    return "mp4mux fragment-duration=1000 fragment-mode=first-moov-then-finalise" if joins else "mp4mux"


def planes(image: Image) -> bytes:
    """A picture, uint8 [height, width, 3] BGR, as I420 (BT.601) with lines of a multiple of four bytes, as GStreamer
    wants them."""
    height, width = image.shape[:2]
    yuv = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
    if width % 8 == 0:
        return yuv.tobytes()
    luma, chroma = yuv[:height], yuv[height:].reshape(height, width // 2)
    padded = (np.pad(plane, ((0, 0), (0, -plane.shape[1] % 4))) for plane in (luma, chroma))
    return b"".join(plane.tobytes() for plane in padded)
