"""Results in a window."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks.base import Sink
from edgead.sinks.view.heat import Heat
from edgead.sinks.view.wall import Newest, wall

log = logging.getLogger(__name__)

PROGRAM = Path(__file__).with_name("window_program.py")
OPEN_SECONDS = 20.0
SEND_SECONDS = 3.0  # a display that takes a picture for longer has gone away
CLOSE_SECONDS = 2.0
PERIOD_SECONDS = 0.1  # between two pictures; more of them would take from the detector what nobody sees
_OR_WEB = "or look at the line in a browser with --web"


class WindowSink(Sink):
    """The newest verdict of each camera with its heat map, boxes and banner, in a window, for as long as the run lasts.

    F fills the screen, Escape leaves that, Q or closing the window sets `stop`. The window is a program of its own
    (`window_program.py`), and nothing it does makes the line wait: pictures are skipped while it draws. If the display
    goes away, the run goes on and the log says so.

    stop: ends the run, as Ctrl-C does. cameras: the names of the sources, where there are several. scale: the raw
    values of the anomaly map shown as nothing and as the hottest, or a `Heat`, which says them for each bundle; by
    default from 0 to the highest value so far.
    """

    may_skip = True

    def __init__(
        self,
        stop: threading.Event,
        *,
        cameras: Sequence[str] = (),
        title: str = "edgead",
        scale: tuple[float, float] | Heat | None = None,
    ) -> None:
        super().__init__("window")
        self._stop, self._title = stop, title
        self._heat = scale if isinstance(scale, Heat) else Heat(scale)
        self._cameras = tuple(cameras) or (title,)
        self._newest: list[Newest] = [None] * len(self._cameras)
        self._program: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._answered = threading.Event()  # the window is there, or will not be
        self._size: tuple[int, int] | None = None  # None while there is no window
        self._shown = threading.Event()  # it can take a picture
        self._unseen = True
        self._drawn = 0.0
        self._why = ""
        self._closing = False

    def open(self) -> None:
        """Open the window. Raises SinkError where there is no display, or Python has no tkinter."""
        self._shown.set()
        command = [sys.executable, "-I", str(PROGRAM), self._title]
        try:
            # A session of its own: Ctrl-C in the terminal is for the run, which then closes the window
            self._program = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise self._failed(f"the window cannot be started: {error.strerror}", _OR_WEB) from error
        self._listener = threading.Thread(target=self._listen, args=(self._program,), name="edgead-window", daemon=True)
        self._listener.start()
        self._answered.wait(OPEN_SECONDS)
        if self._size is None:
            raise self._not_there()
        self._show()

    def write(self, result: Result, frame: Frame) -> None:
        """Show a verdict, unless the window is still busy with the one before; then the next is shown."""
        self._note(result.source, (result, frame))

    def lost(self, lost: LostFrame) -> None:
        """Show that there is nothing to see, rather than an older picture as if it were the newest."""
        self._note(lost.source, lost)

    def flush(self) -> None:
        """Show what was skipped, now that the line pauses."""
        self._show()

    def close(self) -> None:
        """Close the window."""
        self._closing = True
        self._size = None
        if self._program is None or self._program.stdin is None:
            return
        self._program.stdin.close()
        try:
            self._program.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        if self._listener is not None:
            self._listener.join(CLOSE_SECONDS)
        self._program = None

    def _place(self, source: str) -> int:
        """The camera that a frame counts for; those of a folder are called as their files are."""
        for place, camera in enumerate(self._cameras):
            if source == camera or source.startswith(f"{camera.rstrip('/')}/"):
                return place
        return 0

    def _note(self, source: str, record: Newest) -> None:
        self._newest[self._place(source)] = record
        self._unseen = True
        self._show()

    def _show(self) -> None:
        size = self._size
        if size is None or not (self._unseen and self._shown.is_set()):
            return
        if time.monotonic() - self._drawn < PERIOD_SECONDS:
            return
        self._drawn = time.monotonic()
        picture = wall(self._cameras, self._newest, self._heat, *size)
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        file = b"P6 %d %d 255\n" % (picture.shape[1], picture.shape[0]) + rgb.tobytes()
        self._unseen = False
        self._shown.clear()
        try:
            self._send(len(file).to_bytes(4, "little") + file)
        except OSError:
            self._size = None
            if self._program is not None:
                self._program.kill()  # `_listen` says the rest

    def _send(self, message: bytes) -> None:
        """Raises OSError where the window does not take it."""
        if self._program is None or self._program.stdin is None:
            return
        pipe = self._program.stdin.fileno()
        os.set_blocking(pipe, False)
        takes = select.poll()
        takes.register(pipe, select.POLLOUT)
        until = time.monotonic() + SEND_SECONDS
        rest = memoryview(message)
        while rest:
            if not takes.poll(max(0.0, until - time.monotonic()) * 1e3):
                raise TimeoutError
            rest = rest[os.write(pipe, rest) :]

    def _listen(self, program: subprocess.Popen[bytes]) -> None:
        """A thread of its own: what the window says, until it says no more."""
        asked_to_quit = False
        for line in program.stdout or ():
            word, _, text = line.decode("utf-8", "replace").strip().partition(" ")
            if word == "size":
                width, height = text.split()
                self._size = (int(width), int(height))
                self._unseen = True
                self._answered.set()
            elif word == "shown":
                self._shown.set()
            elif word == "quit":
                asked_to_quit = True
                self._stop.set()
            elif word == "error":
                self._why = text
        was_there = self._answered.is_set()
        self._size = None
        self._answered.set()
        if was_there and not asked_to_quit and not self._closing:
            log.warning("the window has gone away; the run goes on without it")

    def _not_there(self) -> SinkError:
        if self._why == "tkinter":
            return self._failed("Python has no tkinter", f"run `apt-get install python3-tk`, {_OR_WEB}")
        why = self._why or "it does not answer"
        return self._failed(f"no window can be opened: {why}", f"set DISPLAY to that of a screen, {_OR_WEB}")
