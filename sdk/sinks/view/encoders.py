"""Which encoder makes a video: the first that works here, those in hardware before the others."""

from __future__ import annotations

import functools
import logging
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgead.errors import SinkError, SourceError
from edgead.sinks.view.encoder import Encoder
from edgead.sinks.view.gstreamer_encoder import GStreamerEncoder
from edgead.sinks.view.opencv_encoder import OpenCvEncoder
from edgead.sources.appsink import gstreamer

log = logging.getLogger(__name__)

AUTO, OPENCV = "auto", "opencv"
TRIAL_FRAMES = 3
TRIAL_SECONDS = 5.0

# From I420 to H.264 with a key frame every two seconds or so, each in its own words; the first ones are preferred.
ELEMENTS = {
    "nvv4l2h264enc": "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! "
    "nvv4l2h264enc bitrate={bits} iframeinterval=50 idrinterval=50 insert-sps-pps=true",
    "nvh264enc": "videoconvert ! video/x-raw,format=NV12 ! nvh264enc bitrate={kbits} gop-size=50 bframes=0",
    "vah264enc": "videoconvert ! video/x-raw,format=NV12 ! vah264enc bitrate={kbits} key-int-max=50 b-frames=0",
    "vaapih264enc": "videoconvert ! video/x-raw,format=NV12 ! "
    "vaapih264enc rate-control=cbr bitrate={kbits} keyframe-period=50 max-bframes=0",
    "v4l2h264enc": "videoconvert ! v4l2h264enc extra-controls=controls,video_bitrate={bits},h264_i_frame_period=50 ! "
    "video/x-h264,level=(string)4",
    "x264enc": "x264enc pass=qual quantizer=23 speed-preset=superfast tune=zerolatency key-int-max=50 threads=2",
    "openh264enc": "openh264enc bitrate={bits} rate-control=bitrate complexity=low gop-size=50 multi-thread=1",
}
_BITS = 0.1  # per pixel, for those that keep to a rate


def open_encoder(name: str, path: Path, where: str, size: tuple[int, int], fps: float) -> Encoder:
    """The encoder of that name, or by `auto` the first that works here, with its file.

    path: the file, whose suffix says what it is. where: what errors and the log call it. size: width and height in
    pixels. fps: frames/s. Raises SinkError where the encoder asked for does not work.
    """
    if name == AUTO:
        usable = found() if path.suffix.lower() == ".mp4" else []
        name = next((each for each in usable if works(each, size, fps)), OPENCV)
    elif name != OPENCV and not works(name, size, fps):
        raise _missing(f"{name} is here, and cannot encode {size[0]} x {size[1]} pixels", where)
    log.info("%s is encoded by %s", where, name)
    if name == OPENCV:
        return OpenCvEncoder(path, where, size, fps)
    return GStreamerEncoder(path, where, size, fps, elements(name, size, fps))


def check(name: str, path: Path) -> None:
    """Raises SinkError where the encoder asked for cannot be had."""
    if name in (AUTO, OPENCV):
        return
    if path.suffix.lower() != ".mp4":
        raise SinkError(f"{name} writes .mp4 videos", path, "name the video so, or leave out --video-encoder")
    if name not in found():
        raise _missing(f"there is no encoder {name}", str(path))


def found() -> list[str]:
    """The encoders of GStreamer that are installed, the preferred ones first; whether they work is another matter."""
    try:
        gst = gstreamer("video")
    except SourceError:
        return []
    return [name for name in ELEMENTS if _is_there(gst, name)]


@functools.cache
def works(name: str, size: tuple[int, int], fps: float) -> bool:
    """Whether an encoder makes a video of a few pictures. Some are installed without the hardware, as on a board
    that has none, and some do not take every size."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.mp4"
        try:
            encoder = GStreamerEncoder(path, name, size, fps, elements(name, size, fps), patience=TRIAL_SECONDS)
            try:
                for _ in range(TRIAL_FRAMES):
                    encoder.write(image)
            finally:
                encoder.close()
        except SinkError as error:
            log.info("%s does not work here: %s", name, error.what)
            return False
        return frames_in(path) == TRIAL_FRAMES


def elements(name: str, size: tuple[int, int], fps: float) -> str:
    """An encoder in GStreamer's notation, with its bit rate."""
    bits = round(size[0] * size[1] * fps * _BITS)
    return ELEMENTS[name].format(bits=bits, kbits=max(1, bits // 1000))


def frames_in(path: Path) -> int:
    """How many frames a video says that it has; 0 where it is none."""
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    return count


def _is_there(gst: Any, name: str) -> bool:
    words = elements(name, (320, 240), 25.0).replace("!", " ").split()
    names = [word for word in words if "=" not in word and "/" not in word]
    return all(gst.ElementFactory.find(each) is not None for each in (*names, "appsrc", "h264parse", "mp4mux"))


def _missing(what: str, where: str) -> SinkError:
    return SinkError(what, where, f"give {', '.join([*found(), OPENCV])} or {AUTO}")
