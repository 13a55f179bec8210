"""Cameras through a GStreamer pipeline: `gst://<pipeline>` and, on Jetson, `csi://<sensor>`."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import cv2

from edgead.errors import SourceError
from edgead.sources.address import redact
from edgead.sources.appsink import Appsink
from edgead.sources.camera import Camera, Grabs
from edgead.sources.capture import Capture, has_gstreamer, patience
from edgead.sources.stall import STALL_SECONDS

# The reader takes frames at once and decides itself which to drop; a queue in the sink would only add lag.
BGR_SINK = "videoconvert ! video/x-raw,format=BGR ! appsink max-buffers=1 drop=false sync=false"
FROM_NVMM = "nvvidconv ! video/x-raw,format=BGRx"  # out of the Jetson's own memory, which videoconvert cannot read


def gst_camera(spec: str, *, stall: float = STALL_SECONDS, wait: bool = False) -> Camera:
    """A pipeline in GStreamer's own notation; the conversion to BGR and the appsink are added where it lacks them."""
    pipeline = spec.removeprefix("gst://").strip()
    if not pipeline:
        raise SourceError("the pipeline is empty", spec, "write gst://<element> ! <element> ...")
    return _pipeline_camera(spec, pipeline if "appsink" in pipeline else f"{pipeline} ! {BGR_SINK}", stall, wait)


def csi_camera(spec: str, *, stall: float = STALL_SECONDS, wait: bool = False) -> Camera:
    """A camera on a Jetson's ribbon connector: `csi://0?width=1920&height=1080&fps=30`."""
    parts = urlsplit(spec)
    options = {"width": "1920", "height": "1080", "fps": "30", **dict(parse_qsl(parts.query, keep_blank_values=True))}
    sensor = parts.netloc or "0"
    if len(options) > 3 or not all(number.isdecimal() for number in (sensor, *options.values())):
        raise SourceError("not a CSI camera", spec, "write csi://0 or csi://0?width=1920&height=1080&fps=30")
    width, height, fps = options["width"], options["height"], options["fps"]
    picture = f"video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1"
    convert = f"{FROM_NVMM} ! {BGR_SINK}"
    return _pipeline_camera(spec, f"nvarguscamerasrc sensor-id={sensor} ! {picture} ! {convert}", stall, wait)


def _pipeline_camera(spec: str, pipeline: str, stall: float, wait: bool) -> Camera:
    """Through OpenCV where it has GStreamer, else through PyGObject."""
    name = redact(spec)
    todo = "run the pipeline with gst-launch-1.0 to see what it misses"

    def connect() -> Grabs:
        if has_gstreamer():
            return Capture(pipeline, cv2.CAP_GSTREAMER, name=name, todo=todo)
        return Appsink(pipeline, name=name, todo=todo, answer=patience(stall))

    return Camera(name, connect, stall=stall, wait=wait)
