"""Cameras through a GStreamer pipeline: `gst://<pipeline>` and, on Jetson, `csi://<sensor>`."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import cv2

from edgead.errors import SourceError
from edgead.sources.address import redact
from edgead.sources.camera import Camera
from edgead.sources.capture import Capture, has_gstreamer

# The reader takes frames at once and decides itself which to drop; a queue in the sink would only add lag.
_SINK = "videoconvert ! video/x-raw,format=BGR ! appsink max-buffers=1 drop=false sync=false"


def gst_camera(spec: str) -> Camera:
    """A pipeline in GStreamer's own notation; the conversion to BGR and the appsink are added where it lacks them."""
    pipeline = spec.removeprefix("gst://").strip()
    if not pipeline:
        raise SourceError("the pipeline is empty", spec, "write gst://<element> ! <element> ...")
    return _pipeline_camera(spec, pipeline if "appsink" in pipeline else f"{pipeline} ! {_SINK}")


def csi_camera(spec: str) -> Camera:
    """A camera on a Jetson's ribbon connector: `csi://0?width=1920&height=1080&fps=30`."""
    parts = urlsplit(spec)
    options = {"width": "1920", "height": "1080", "fps": "30", **dict(parse_qsl(parts.query, keep_blank_values=True))}
    sensor = parts.netloc or "0"
    if len(options) > 3 or not all(number.isdecimal() for number in (sensor, *options.values())):
        raise SourceError("not a CSI camera", spec, "write csi://0 or csi://0?width=1920&height=1080&fps=30")
    width, height, fps = options["width"], options["height"], options["fps"]
    picture = f"video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1"
    convert = f"nvvidconv ! video/x-raw,format=BGRx ! {_SINK}"
    return _pipeline_camera(spec, f"nvarguscamerasrc sensor-id={sensor} ! {picture} ! {convert}")


def _pipeline_camera(spec: str, pipeline: str) -> Camera:
    name = redact(spec)

    def connect() -> Capture:
        if not has_gstreamer():
            todo = "use an OpenCV built with GStreamer (JetPack's is), or a device, rtsp:// or http:// camera"
            raise SourceError("this build of OpenCV has no GStreamer", name, todo)
        todo = "run the pipeline with gst-launch-1.0 to see what it misses"
        return Capture(pipeline, cv2.CAP_GSTREAMER, name=name, todo=todo)

    return Camera(name, connect)
