"""RTSP cameras: by GStreamer, which gives a picture as it comes, else by FFmpeg, which gives it with the next one."""

from __future__ import annotations

import functools
import logging

from edgead.errors import SourceError
from edgead.sources.address import redact
from edgead.sources.appsink import Appsink, gstreamer
from edgead.sources.camera import ADVICE, SETTLE_SECONDS, Camera, Grabs, by_ffmpeg
from edgead.sources.capture import Capture, patience
from edgead.sources.gstreamer import BGR_SINK, FROM_NVMM
from edgead.sources.retry import knock
from edgead.sources.stall import STALL_SECONDS

log = logging.getLogger(__name__)

_ELEMENTS = ("rtspsrc", "decodebin", "videoconvert", "appsink")
# The media is named, as a camera with a microphone would else be linked by its sound.
_RECEIVE = "rtspsrc name=source protocols=tcp latency=0 ! application/x-rtp,media=video ! decodebin"


def rtsp_camera(address: str, *, stall: float = STALL_SECONDS, wait: bool = False) -> Camera:
    """A camera by its address; its name is the address without user, password and tokens.

    GStreamer is taken where this Python has it, and with it the decoder of the device. A camera that it cannot play,
    for want of a decoder, or because it sends over UDP alone, is given to FFmpeg.
    """
    connect = _Connect(address, patience(stall))
    return Camera(connect.name, connect, stall=stall, wait=wait, is_there=lambda: knock(address), settle=SETTLE_SECONDS)


class _Connect:
    """Opens one camera, again and again. Once GStreamer has played it, nothing else is tried."""

    def __init__(self, address: str, answer: float) -> None:
        self.name = redact("".join(address.split()))  # a space in a password would end the address
        self._address, self._answer = address, answer
        self._played = self._said = False

    def __call__(self) -> Grabs:
        if not has_rtsp():
            return self._by_ffmpeg()
        try:
            settings = {"location": self._address}
            capture = Appsink(pipeline(), name=self.name, todo=ADVICE, answer=self._answer, settings=settings)
        except SourceError as error:
            if self._played:
                raise
            found = self._by_ffmpeg()
            if not self._said:
                log.warning("%s is read by FFmpeg, a picture later, as GStreamer cannot: %s", self.name, error.what)
            self._said = True
            return found
        self._played = True
        return capture

    def _by_ffmpeg(self) -> Capture:
        return by_ffmpeg(self._address, self.name, self._answer)


@functools.cache
def has_rtsp() -> bool:
    """Whether this Python has a GStreamer that can receive RTSP."""
    try:
        gst = gstreamer("rtsp")
    except SourceError:
        return False
    return all(gst.ElementFactory.find(element) is not None for element in _ELEMENTS)


def pipeline() -> str:
    """From the element `source`, whose location is still to be set, to pictures."""
    jetson = gstreamer("rtsp").ElementFactory.find("nvvidconv") is not None
    return " ! ".join([_RECEIVE, *([FROM_NVMM] if jetson else []), BGR_SINK])
