"""A screen without a monitor, and somebody in front of it: Xvfb, spoken to through Xlib."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Display, Window = ctypes.c_void_p, ctypes.c_ulong


class ClientMessage(ctypes.Structure):
    """XClientMessageEvent, as long as any event."""

    _fields_ = (
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int), ("display", Display),
        ("window", Window), ("message_type", ctypes.c_ulong), ("format", ctypes.c_int), ("data", ctypes.c_long * 5),
        ("rest", ctypes.c_long * 12),
    )  # fmt: skip


class Screen:
    """Xvfb with one screen of 800 x 600, which starts here."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "Xvfb_screen0"
        told, tell = os.pipe()
        command = ["Xvfb", "-displayfd", str(tell), "-screen", "0", "800x600x24", "-fbdir", str(folder), "-noreset"]
        self.server = subprocess.Popen(command, pass_fds=[tell], stderr=subprocess.DEVNULL)
        os.close(tell)
        with os.fdopen(told) as number:
            self.display = f":{number.readline().strip()}"

    def picture(self) -> NDArray[np.uint8]:
        """What is on the screen now, uint8 [600, 800, 3] BGR, out of the server's memory (a file in xwd's format)."""
        content = self._file.read_bytes()
        header = struct.unpack(">25I", content[:100])
        size, height, line, colours = header[0], header[5], header[12], header[19]
        pixels = np.frombuffer(content, np.uint8, height * line, size + 12 * colours)
        return pixels.reshape(height, -1, 4)[..., :3]

    def press(self, key: str) -> None:
        """Press a key, and let it go."""
        x, xtst, display = self._connect()
        code = x.XKeysymToKeycode(display, x.XStringToKeysym(key.encode()))
        for down in (1, 0):
            xtst.XTestFakeKeyEvent(display, code, down, 0)
        x.XCloseDisplay(display)

    def close_window(self) -> None:
        """Do what a window manager does when somebody clicks on the cross of a window."""
        x, _, display = self._connect()
        root, parent, children, count = Window(), Window(), ctypes.POINTER(Window)(), ctypes.c_uint()
        x.XQueryTree(display, x.XDefaultRootWindow(display), *map(ctypes.byref, (root, parent, children, count)))
        names = [x.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")]
        for window in children[: count.value]:
            event = ClientMessage(33, 0, 0, display, window, names[0], 32, (names[1], 0, 0, 0, 0))
            x.XSendEvent(display, window, 0, 0, ctypes.byref(event))
        x.XCloseDisplay(display)

    def end(self) -> None:
        """Take the screen away."""
        self.server.kill()
        self.server.wait()

    def _connect(self) -> tuple[ctypes.CDLL, ctypes.CDLL, ctypes.c_void_p]:
        x, xtst = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        x.XOpenDisplay.restype = Display
        x.XStringToKeysym.restype = x.XInternAtom.restype = x.XDefaultRootWindow.restype = Window
        x.XKeysymToKeycode.argtypes = [Display, Window]
        x.XKeysymToKeycode.restype = ctypes.c_ubyte
        x.XInternAtom.argtypes = [Display, ctypes.c_char_p, ctypes.c_int]
        x.XDefaultRootWindow.argtypes = x.XCloseDisplay.argtypes = [Display]
        x.XQueryTree.argtypes = [Display, Window, *[ctypes.c_void_p] * 4]
        x.XSendEvent.argtypes = [Display, Window, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
        xtst.XTestFakeKeyEvent.argtypes = [Display, ctypes.c_uint, ctypes.c_int, ctypes.c_ulong]
        return x, xtst, Display(x.XOpenDisplay(self.display.encode()))


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something holds, for ten seconds at most."""
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)
