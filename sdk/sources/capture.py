"""OpenCV's VideoCapture, made quiet, bounded in time, and honest about what it could not decode."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from typing import Any, cast

import cv2

from edgead.errors import SourceError
from edgead.frame import Image

ANSWER_SECONDS = 5.0  # the longest that a camera may take to open, or to give a frame; see `patience`
CUT_OFF = 0.8  # a read that took this share of the longest was cut off by its time-out
FAILURES = 10  # reads in a row that give nothing before a capture has failed for good

# FFmpeg writes a line per damaged macroblock, on some builds to stdout: gigabytes in a month, none names its frame.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

# FFmpeg looks at a stream for a second or more before it gives the first frame; a camera that comes back has to be seen
# sooner. discardcorrupt: the piece of a picture that was on its way when the connection broke is no picture. OpenCV
# takes these from the environment alone, so they are set once, here, and never while threads run.
os.environ.setdefault(
    "OPENCV_FFMPEG_CAPTURE_OPTIONS",
    "rtsp_flags;prefer_tcp|fflags;discardcorrupt|analyzeduration;300000|fpsprobesize;0",
)


class Capture:
    """An open VideoCapture that gives whole frames only.

    Decoders hide damage: after packets that could not be decoded, FFmpeg goes on predicting from a picture that is
    not there, and OpenCV hands out the smear as a good frame. So after a read that gave nothing, frames count as
    damaged up to the next key frame. Damage that the decoder conceals without ever failing a read cannot be seen from
    here: of H.264 over RTSP that lost packets, it is smeared pictures. So RTSP goes over TCP, which loses none.
    """

    def __init__(self, target: int | str, backend: int, *, name: str, settings: Sequence[int] = (), todo: str) -> None:
        """Open a device, file, address or pipeline. Raises SourceError with `name` and `todo` when nothing opens."""
        with _quiet:
            try:
                self._capture = cv2.VideoCapture(target, backend, list(settings))
            except cv2.error as error:
                # OpenCV's own text holds the whole address, password and all: it is neither shown nor chained
                raise SourceError(f"OpenCV refuses it (code {error.code})", name, todo) from None
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError("it cannot be opened", name, todo)
        self.failures = 0  # reads in a row that gave nothing
        self._damaged = False
        self.count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))  # 0 where there is no telling
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = rate if 0 < rate < 10_000 else None

    def read(self) -> Image | str:
        """The next frame, uint8 [H, W, 3] BGR or [H, W] gray, or the reason why there is none."""
        try:
            given, image = self._capture.read()
            reason = "no frame could be decoded"
        except cv2.error as error:
            given, image, reason = False, None, f"the decoder failed (code {error.code})"
        if not given or image is None:
            self.failures += 1
            self._damaged = True
            return reason
        self.failures = 0
        if self._damaged and self._is_predicted():
            return "decoded from a damaged predecessor"
        self._damaged = False
        return cast(Image, image)

    def close(self) -> None:
        """Free the device or file."""
        self._capture.release()

    def _is_predicted(self) -> bool:
        return chr(max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_TYPE)))) in "PB"


def patience(stall: float) -> float:
    """How many seconds without a picture end a connection to a camera with this alarm: half of those until the alarm,
    so that another one has been tried before, but no less than ANSWER_SECONDS. FFmpeg opens a camera with its third
    picture: one that gives a picture a minute needs an alarm after more than four."""
    return max(ANSWER_SECONDS, stall / 2)


def network_settings(answer: float) -> list[int]:
    """Settings for a network camera: answers within so many seconds, and no decoder threads, as each holds back one
    frame."""
    milliseconds = min(round(answer * 1000), (1 << 31) - 1)
    return [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds),
        *(cv2.CAP_PROP_N_THREADS, 1),
    ]


def ffmpeg_backend() -> int:
    """FFmpeg where OpenCV has it, else whatever OpenCV finds."""
    return int(cv2.CAP_FFMPEG if cv2.CAP_FFMPEG in cv2.videoio_registry.getBackends() else cv2.CAP_ANY)


def has_gstreamer() -> bool:
    """Whether this build of OpenCV has GStreamer."""
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


class _Quiet:
    """Keeps OpenCV from warning on stderr while anybody opens: some of its warnings repeat the address. Several may
    open at once; the level is one for the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opening = self._level = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._opening:
                self._level = _logging().getLogLevel()
                _logging().setLogLevel(0)
            self._opening += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._opening -= 1
            if not self._opening:
                _logging().setLogLevel(self._level)


_quiet = _Quiet()


def _logging() -> Any:
    return getattr(cv2.utils, "logging", cv2)  # OpenCV 5 moved its levels
