"""A live camera as a source: a device, a network stream or a GStreamer pipeline, and how it is found again."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2

from edgead.errors import SourceError
from edgead.frame import Frame, Image, LostFrame, Reading, Signal
from edgead.handover import NEWS, Handover
from edgead.sources.address import redact
from edgead.sources.base import Source
from edgead.sources.capture import CUT_OFF, Capture, ffmpeg_backend, network_settings, patience
from edgead.sources.retry import Backoff, knock
from edgead.sources.stall import STALL_SECONDS, Stall

log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
BROKEN = 3  # reads in a row that give nothing: a damaged picture costs one, a broken connection every one
DRAIN_SECONDS = 1.0  # the longest that old frames are looked for after a connection
AT_ONCE = 0.25  # of a frame period: a frame that comes sooner was waiting in a buffer
SETTLE_SECONDS = 0.005
LOG_SECONDS = 10.0  # a connection that comes and goes is logged no more often
ADVICE = "check the address, the user name and password, and that this computer reaches the camera"


class Grabs(Protocol):
    """What a camera needs of a connection; `Capture` and GStreamer's appsink are ones.

    fps: frames/s as far as known. failures: reads in a row that gave nothing. `read` gives uint8 [H, W, 3] BGR or
    [H, W] gray, or the reason why there is no picture, within seconds.
    """

    fps: float | None
    failures: int

    def read(self) -> Image | str:
        """The next picture, or the reason why there is none."""

    def close(self) -> None:
        """Let the connection go."""


class Camera(Source):
    """Frames of a live camera, for as long as anybody reads them.

    A thread of its own connects and grabs, so that `read` keeps its timeout and `close` its promise whatever the
    camera does. With `freshest`, one frame waits to be read and newer ones replace it; frames that had been waiting
    in a buffer when the connection was made are dropped, and counted.

    A connection that breaks is one LostFrame with its reason. Then it is made again, for ever, with pauses of 0.1 s
    growing to 1 s; `frame_id` goes on. What the old connection had buffered goes with it. A first connection that fails
    is an error of `open`; with `wait` the camera is waited for like later.

    stall: seconds without a new picture, or with the same one again and again, after which an alarm is raised: one
    LostFrame. A connection without a picture for half of that, 5 s at least, is made again (`patience`). While the
    alarm is up, repeated pictures are not delivered, as no part may be judged by the picture of another; those that
    came before it were. A new picture ends it. 0 switches it off, for scenes without a sensor's noise.

    is_there: says in a second, without taking the camera, why an attempt to connect is not worth it. settle: seconds
    for which a picture is held back, to see whether the connection ends right behind it: a decoder then gives what it
    had of a picture that was still coming. That one is dropped, and counted.
    """

    live = True

    def __init__(
        self,
        name: str,
        connect: Callable[[], Grabs],
        *,
        stall: float = STALL_SECONDS,
        wait: bool = False,
        is_there: Callable[[], str] = lambda: "",
        settle: float = 0.0,
    ) -> None:
        super().__init__(name)
        self._connect, self._is_there = connect, is_there
        self._seconds, self._wait, self._settle = stall, wait, settle
        self.opening = 2 * patience(stall)  # of RTSP: GStreamer is tried, then FFmpeg
        self._stall = Stall(stall)
        self._counting = threading.Lock()
        self._frames: Handover[Frame | LostFrame] = Handover(1)
        self._closing = threading.Event()
        self._grabber: threading.Thread | None = None
        self._drained = 0
        self._last = self._cut = -1  # frame_id of the last picture, and of the last before a connection ended
        self._logged = float("-inf")

    @property
    def dropped(self) -> int:
        """Frames that were captured and replaced by newer ones before anybody read them."""
        return self._frames.dropped + self._drained

    def open(self) -> None:
        """Connect, and start to grab. Raises SourceError where there is no camera, unless it shall be waited for."""
        if self._grabber is not None:
            raise SourceError("the camera is already open", self.name, "make a second source for a second reader")
        capture = None if self._wait else self._connect()
        self.fps = capture.fps if capture else None
        self._drained, self._last, self._cut = 0, -1, -1
        self._frames = Handover(NEWS if self.freshest else 1)
        self._closing, self._stall = threading.Event(), Stall(self._seconds)
        taken = (capture, self._stall, self._frames, self._closing)
        self._grabber = threading.Thread(target=self._run, args=taken, name="edgead-camera", daemon=True)
        self._grabber.start()

    def read(self, timeout: float) -> Reading:
        """The next frame, or TIMEOUT after `timeout` seconds, whatever the camera does."""
        if self._grabber is None:
            raise self._not_open()
        reading = self._frames.take(timeout)
        if reading is Signal.TIMEOUT and (alarm := self._stall.wait()):  # the thread itself may be waiting in OpenCV
            return self._alarm(alarm)
        if isinstance(reading, Frame) and self._settle:
            time.sleep(min(self._settle, max(0.0, reading.captured_at + self._settle - time.time())))
            if reading.frame_id == self._cut:
                self._drained += 1
                return self.read(timeout)
        return reading

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

    def _run(
        self, capture: Grabs | None, stall: Stall, frames: Handover[Frame | LostFrame], closing: threading.Event
    ) -> None:
        """The camera's thread: grab until the connection breaks, connect, and so on until `close`."""
        try:
            if capture is None:
                capture = self._reconnect("", closing)
            while capture is not None:
                try:
                    reason = self._grab(capture, stall, frames, closing)
                finally:
                    capture.close()
                if closing.is_set():
                    return
                _give(frames, self._lost(f"the connection is lost: {reason}"), stall)
                capture = self._reconnect(reason, closing)
        except BaseException as error:  # noqa: BLE001 - it is raised again in `read`
            frames.end(error)

    def _reconnect(self, reason: str, closing: threading.Event) -> Grabs | None:
        """A new connection, however long that takes; None when the camera is closed first."""
        said = time.monotonic() - self._logged >= LOG_SECONDS
        if said:
            self._logged = time.monotonic()
            log.warning("camera %s: %s", self.name, f"lost: {reason}" if reason else "waiting for it")
        backoff = Backoff()
        while not closing.wait(backoff.pause()):
            if self._is_there():
                continue
            try:
                capture = self._connect()
            except SourceError:
                continue
            if said:
                log.info("camera %s is back", self.name)
            self.fps = capture.fps or self.fps
            return capture
        return None

    def _grab(self, capture: Grabs, stall: Stall, frames: Handover[Frame | LostFrame], closing: threading.Event) -> str:
        """Hand frames over until the camera is closed, or the connection breaks: then the reason."""
        period = 1 / capture.fps if capture.fps else 0.04
        drained_until = time.monotonic() + DRAIN_SECONDS if self.freshest else 0.0
        damaged: list[str] = []
        while not closing.is_set():
            asked = time.monotonic()
            image = capture.read()
            captured_at = time.time()
            if isinstance(image, str):
                took = time.monotonic() - asked
                if took < AT_ONCE * period:
                    self._cut = self._last
                if took > CUT_OFF * patience(self._seconds):
                    return f"no picture came for {took:.0f} s"
                if capture.failures >= BROKEN:
                    return "no more pictures come"
                damaged.append(image)
                if capture.failures:
                    continue  # it may be the end of the connection, which is one piece of news and not three
            for why in damaged:
                _give(frames, self._lost(why), stall)
            damaged.clear()
            if isinstance(image, str):
                continue
            alarmed = stall.alarmed
            if alarm := stall.see(image):
                _give(frames, self._alarm(alarm), stall)
            if alarmed and not stall.alarmed:
                log.info("camera %s gives new pictures again", self.name)
            if stall.alarmed:
                continue
            if time.monotonic() < drained_until:
                if time.monotonic() - asked < AT_ONCE * period:
                    self._drained += 1
                    self._number()
                    continue
                drained_until = 0.0
            frame = self._frame(image, captured_at=captured_at)
            self._last = frame.frame_id
            if not _give(frames, frame, stall, replaces=self.freshest):
                return ""
        return ""

    def _alarm(self, reason: str) -> LostFrame:
        log.warning("camera %s: %s", self.name, reason)
        return self._lost(reason)

    def _number(self) -> int:
        with self._counting:
            return super()._number()


def _give(
    frames: Handover[Frame | LostFrame], reading: Frame | LostFrame, stall: Stall, *, replaces: bool = False
) -> bool:
    """Hand a reading over, without a suspicion against the camera where nobody takes it; False when it is closed."""
    began = time.monotonic()
    given = frames.put(reading, replaces=replaces)
    stall.held(time.monotonic() - began)
    return given


def device_camera(device: int | str, *, stall: float = STALL_SECONDS, wait: bool = False) -> Camera:
    """A camera of this computer: an index, or the path of a video device."""
    name, path = (f"camera {device}", f"/dev/video{device}") if isinstance(device, int) else (device, device)

    def connect() -> Capture:
        backend = cv2.CAP_V4L2 if cv2.CAP_V4L2 in cv2.videoio_registry.getBackends() else cv2.CAP_ANY
        return Capture(device, backend, name=name, todo=_advice(path))

    return Camera(name, connect, stall=stall, wait=wait)


def network_camera(address: str, *, stall: float = STALL_SECONDS, wait: bool = False) -> Camera:
    """A camera on the network that FFmpeg reads, by its address; its name is the address without user, password and
    tokens."""
    name = redact("".join(address.split()))  # a space in a password would end the address

    # Of a JPEG over HTTP it is known where it ends; of H.264 it is not
    settle = 0.0 if address.lower().startswith("http") else SETTLE_SECONDS
    return Camera(
        name,
        lambda: by_ffmpeg(address, name, patience(stall)),
        stall=stall,
        wait=wait,
        is_there=lambda: knock(address),
        settle=settle,
    )


def by_ffmpeg(address: str, name: str, answer: float) -> Capture:
    """A connection to a camera on the network that answers within so many seconds. Raises SourceError, also where the
    camera is there and sends nothing: OpenCV calls that open when its time is up, and would wait as long again for the
    first picture."""
    asked = time.monotonic()
    capture = Capture(address, ffmpeg_backend(), name=name, settings=network_settings(answer), todo=ADVICE)
    if (took := time.monotonic() - asked) > CUT_OFF * answer:
        capture.close()
        raise SourceError(f"it answers, but sent no picture for {took:.0f} s", name, ADVICE)
    return capture


def _advice(path: str) -> str:
    """What to check when a video device does not open."""
    if not Path(path).exists():
        there = ", ".join(sorted(str(found) for found in Path("/dev").glob("video*"))) or "none"
        return f"there is no {path}; video devices here: {there}; check that the camera is plugged in"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"this user may not read {path}: add it to the group `video` and log in again"
    return "check that no other program uses it, and that it is a camera"
