"""GStreamer through PyGObject, where OpenCV was built without it."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from edgead.errors import SourceError
from edgead.frame import Image
from edgead.sources.address import redact

SLICE_SECONDS = 0.1  # how late an error of the pipeline may be noticed

_INSTALL = (
    "install it (Debian: python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good; "
    "a virtual environment sees it with --system-site-packages), or use an OpenCV built with GStreamer, as JetPack's is"
)


class Appsink:
    """A running pipeline that ends in an appsink of BGR or gray pictures.

    answer: seconds that a picture may take. settings: properties of its element that is named `source`, where they need
    no quoting.
    """

    def __init__(
        self, pipeline: str, *, name: str, todo: str, answer: float, settings: Mapping[str, str] | None = None
    ) -> None:
        """Start the pipeline. Raises SourceError where GStreamer is missing and where the pipeline does not start."""
        self._gst = gst = gstreamer(name)
        self._answer = answer
        self.fps: float | None = None
        self.failures = 0
        self._failed = ""
        try:
            self._pipeline = gst.parse_launch(pipeline)
        except RuntimeError as error:  # GLib.Error is one
            raise SourceError(f"GStreamer refuses the pipeline: {text_of(error)}", name, todo) from None
        found = self._pipeline.iterate_sinks() if isinstance(self._pipeline, gst.Bin) else None
        sinks = _all(gst, found) if found else []
        sinks = [sink for sink in sinks if sink.get_factory().get_name() == "appsink"]
        if not sinks:
            raise SourceError("the pipeline has no appsink", name, todo)
        self._sink = sinks[0]
        for key, value in (settings or {}).items():
            self._pipeline.get_by_name("source").set_property(key, value)
        self._pipeline.set_state(gst.State.PLAYING)
        self._first = self._pull()  # a live pipeline runs long before it has a camera
        if self._first is None:
            reason = self._error() or "it gives no pictures"
            self.close()
            raise SourceError(f"GStreamer: {reason}", name, todo)

    def read(self) -> Image | str:
        """The next picture, or the reason why there is none."""
        sample, self._first = self._first or self._pull(), None
        if sample is None:
            self.failures += 1
            return self._error() or "GStreamer gives no pictures"
        buffer, form = sample.get_buffer(), sample.get_caps().get_structure(0)
        if buffer.get_flags() & self._gst.BufferFlags.CORRUPTED:
            return "GStreamer calls the picture damaged"
        known, over, under = form.get_fraction("framerate")
        self.fps = over / under if known and over and under else None
        height, width = form.get_value("height"), form.get_value("width")
        channels = {"BGR": 3, "GRAY8": 1}.get(form.get_value("format"), 0)
        if not channels:
            self.failures += 1
            return f"pictures are {form.get_value('format')}: end the pipeline with videoconvert and BGR or GRAY8"
        bytes_ = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        self.failures = 0
        # GStreamer pads every line to a multiple of four bytes
        lines = bytes_[: height * (bytes_.size // height)].reshape(height, -1)[:, : width * channels]
        return np.ascontiguousarray(lines.reshape((height, width, 3) if channels == 3 else (height, width)))

    def close(self) -> None:
        """Stop the pipeline and free what it holds."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _pull(self) -> Any:
        """The next sample, or None: after an error, at the end, or when none came in time."""
        until = time.monotonic() + self._answer
        while time.monotonic() < until and not self._error():
            sample = self._sink.emit("try-pull-sample", int(SLICE_SECONDS * self._gst.SECOND))
            if sample is not None or self._sink.get_property("eos"):
                return sample
        return None

    def _error(self) -> str:
        """The first error of the pipeline, if it has one."""
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is not None and not self._failed:
            self._failed = text_of(message.parse_error()[0])
        return self._failed


def gstreamer(name: str) -> Any:
    """The module `gi.repository.Gst`, ready for use. Raises SourceError where it is missing."""
    # Debian's GStreamer brings libunwind for all, and with it another _Unwind_Resume: the next C++ exception, as
    # OpenVINO's, would abort the process. The compiler's own goes before it.
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
    try:
        gi = import_module("gi")
        gi.require_version("Gst", "1.0")
        gst = import_module("gi.repository.Gst")
    except (ImportError, ValueError):
        raise SourceError("neither OpenCV nor Python has GStreamer here", name, _INSTALL) from None
    gst.init(None)
    return gst


def _all(gst: Any, iterator: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        result, element = iterator.next()
        if result != gst.IteratorResult.OK:
            return found
        found.append(element)


def text_of(error: Any) -> str:
    """GStreamer's own words, which may repeat the address."""
    return redact(str(getattr(error, "message", error))).rstrip(".")
