"""Where frames come from: `open_source` takes an index, a path or an address and answers with a source."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from pathlib import Path

from edgead.errors import SourceError
from edgead.sources.address import redact
from edgead.sources.base import Source
from edgead.sources.stall import STALL_SECONDS

__all__ = ["Source", "open_source"]

RTSP = ("rtsp", "rtsps")
NETWORK = ("rtmp", "http", "https", "udp", "tcp", "srt", "rtp")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
KNOWN = (
    "a camera index, /dev/video0, rtsp://, http://, csi://, gst://, synthetic://, watch://, a video, an image, a "
    "folder or a glob"
)


def open_source(spec: str | int | Path, *, stall: float = STALL_SECONDS, wait: bool = False) -> Source:
    """The source for a spec. Nothing is opened before `with source:`.

    spec: a camera index (0 or "0"), `/dev/video0`, `rtsp://...`, `http://...`, `csi://0`, `gst://<pipeline>`,
    `synthetic://`, `watch:///folder` for the images that arrive in it, a video file, an image, a folder of images, or
    a glob pattern. A Path is always a file or folder.

    stall: of a live camera, the seconds without a new picture that raise an alarm, 0 for never. wait: a camera that is
    not there yet is waited for, instead of being an error when the source is opened. Other sources have neither.

    Raises SourceError for an unknown kind, and for a file or folder that is not there.
    """
    if not 0 <= stall < float("inf"):
        raise ValueError(f"stall is seconds from 0 on, not {stall}")
    text = str(spec)
    address = re.match(r"([A-Za-z][\w+.-]*)://", text) if isinstance(spec, str) else None
    for matches, make in _KINDS:
        if matches(spec, address[1].lower() if address else ""):
            return make(text, stall, wait)
    if address:
        raise SourceError(f"no source is known for {address[1]}://", redact(text), f"give {KNOWN}")
    raise SourceError("there is no such file or folder", redact(text), f"give {KNOWN}")


def _device(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.camera import device_camera

    return device_camera(int(spec) if spec.isdecimal() else spec, stall=stall, wait=wait)


def _network(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.camera import network_camera

    return network_camera(spec, stall=stall, wait=wait)


def _rtsp(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.rtsp import rtsp_camera

    return rtsp_camera(spec, stall=stall, wait=wait)


def _csi(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.gstreamer import csi_camera

    return csi_camera(spec, stall=stall, wait=wait)


def _gst(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.gstreamer import gst_camera

    return gst_camera(spec, stall=stall, wait=wait)


def _synthetic(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.synthetic import SyntheticSource

    return SyntheticSource(spec)


def _watched(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.watched import WatchedFolder

    return WatchedFolder(spec)


def _images(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.folder import ImageFiles

    return ImageFiles(spec)


def _video(spec: str, stall: float, wait: bool) -> Source:
    from edgead.sources.video import VideoFile

    return VideoFile(spec)


def _is_device(spec: str | int | Path, scheme: str) -> bool:
    return isinstance(spec, int) or (isinstance(spec, str) and (spec.isdecimal() or spec.startswith("/dev/video")))


def _is_images(spec: str | int | Path, scheme: str) -> bool:
    path = Path(str(spec))
    pattern = glob.has_magic(str(path)) and not path.exists()
    return not scheme and (path.is_dir() or pattern or path.suffix.lower() in IMAGES)


def _is_video(spec: str | int | Path, scheme: str) -> bool:
    return not scheme and Path(str(spec)).is_file()


# The first kind that matches takes the spec; a new source adds one line.
_KINDS: tuple[tuple[Callable[[str | int | Path, str], bool], Callable[[str, float, bool], Source]], ...] = (
    (_is_device, _device),
    (lambda spec, scheme: scheme in RTSP, _rtsp),
    (lambda spec, scheme: scheme in NETWORK, _network),
    (lambda spec, scheme: scheme == "csi", _csi),
    (lambda spec, scheme: scheme == "gst", _gst),
    (lambda spec, scheme: scheme == "synthetic", _synthetic),
    (lambda spec, scheme: scheme == "watch", _watched),
    (_is_images, _images),
    (_is_video, _video),
)
