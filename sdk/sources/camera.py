"""A live camera as a source: a device, a network stream or a GStreamer pipeline."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame, Reading
from edgead.handover import Handover
from edgead.sources.address import redact
from edgead.sources.base import Source
from edgead.sources.capture import FAILURES, Capture, ffmpeg_backend, network_settings

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.1  # between reads that give nothing
CLOSE_SECONDS = 2.0


class Camera(Source):
    """Frames of a live camera.

    A thread of its own grabs the frames, so that `read` keeps its timeout even while OpenCV waits for a dead camera.
    With `freshest`, one frame waits to be read and newer ones replace it. Ten reads in a row without a frame are a
    failure for good.
    """

    live = True

    def __init__(self, name: str, connect: Callable[[], Capture]) -> None:
        super().__init__(name)
        self._connect = connect
        self._frames: Handover[Frame | LostFrame] = Handover(1)
        self._closing = threading.Event()
        self._grabber: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Frames that were captured and replaced by newer ones before anybody read them."""
        return self._frames.dropped

    def open(self) -> None:
        """Connect, and start to grab. Raises SourceError where there is no camera."""
        if self._grabber is not None:
            raise SourceError("the camera is already open", self.name, "make a second source for a second reader")
        capture = self._connect()
        self.fps = capture.fps
        self._frames, self._closing = Handover(1), threading.Event()
        self._grabber = threading.Thread(
            target=self._grab, args=(capture, self._frames, self._closing), name="edgead-camera", daemon=True
        )
        self._grabber.start()

    def read(self, timeout: float) -> Reading:
        """The next frame, or TIMEOUT after `timeout` seconds, whatever the camera does."""
        if self._grabber is None:
            raise self._not_open()
        return self._frames.take(timeout)

    def close(self) -> None:
        """Let the camera go. A camera that does not answer is left to its thread, which frees it when it does."""
        self._frames.close()
        if self._grabber is None:
            return
        self._closing.set()
        self._grabber.join(CLOSE_SECONDS)
        if self._grabber.is_alive():
            log.warning("camera %s does not answer: it is freed when it does", self.name)
        self._grabber = None

    def _grab(self, capture: Capture, frames: Handover[Frame | LostFrame], closing: threading.Event) -> None:
        try:
            while not closing.is_set() and capture.failures < FAILURES:
                image = capture.read()
                captured_at = time.time()
                if isinstance(image, str):
                    going = frames.put(self._lost(image))
                    closing.wait(PAUSE_SECONDS if capture.failures else 0)
                else:
                    frame = self._frame(image, captured_at=captured_at)
                    going = frames.put(frame, replaces=self.freshest)
                if not going:
                    return
            todo = "check its power, its cable and the network, then start again"
            frames.end(SourceError("the camera stopped giving frames", self.name, todo))
        except BaseException as error:  # noqa: BLE001 - it is raised again in `read`
            frames.end(error)
        finally:
            capture.close()


def device_camera(device: int | str) -> Camera:
    """A camera of this computer: an index, or the path of a video device."""
    name, path = (f"camera {device}", f"/dev/video{device}") if isinstance(device, int) else (device, device)

    def connect() -> Capture:
        backend = cv2.CAP_V4L2 if cv2.CAP_V4L2 in cv2.videoio_registry.getBackends() else cv2.CAP_ANY
        return Capture(device, backend, name=name, todo=_advice(path))

    return Camera(name, connect)


def network_camera(address: str) -> Camera:
    """A camera on the network, by its address; its name is the address without user, password and tokens."""
    name = redact(address)

    def connect() -> Capture:
        todo = "check the address, the user name and password, and that this computer reaches the camera"
        return Capture(address, ffmpeg_backend(), name=name, settings=network_settings(), todo=todo)

    return Camera(name, connect)


def _advice(path: str) -> str:
    """What to check when a video device does not open."""
    if not Path(path).exists():
        there = ", ".join(sorted(str(found) for found in Path("/dev").glob("video*"))) or "none"
        return f"there is no {path}; video devices here: {there}; check that the camera is plugged in"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"this user may not read {path}: add it to the group `video` and log in again"
    return "check that no other program uses it, and that it is a camera"
