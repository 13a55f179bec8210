"""The alarm for a camera that has stopped seeing: it gives nothing, or the same picture again and again."""

from __future__ import annotations

import time
import zlib

import numpy as np

from edgead.frame import Image

STALL_SECONDS = 10.0
LINE = 8  # every eighth line is looked at: one of each block of a codec, where a change of any kind shows


class Stall:
    """Watches the pictures of one camera, across its connections.

    A sensor's noise changes every picture, so one that equals the one before it to the bit was not taken again. Only a
    rendered scene, or one compressed until no noise is left, stands still like that: give 0 seconds for those.

    seconds: how long without a new picture is too long; 0 never is. alarmed: whether the alarm is up.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.alarmed = False
        self._digest: tuple[object, ...] = ()
        self._changed = time.monotonic()

    def see(self, image: Image) -> str:
        """Take note of a picture. The reason for the alarm when it goes up with this picture, else nothing."""
        if not self.seconds:
            return ""
        digest = (image.shape, zlib.crc32(np.ascontiguousarray(image[::LINE]).data))
        if digest != self._digest:
            self._digest, self.alarmed = digest, False
            self._changed = time.monotonic()
            return ""
        return self._raise(f"the camera gives the same picture for {self.seconds:g} s")

    def held(self, seconds: float) -> None:
        """Take note that nobody took the camera's pictures for so long: that says nothing of the camera."""
        self._changed += seconds

    def wait(self) -> str:
        """Take note that nothing came until now. The reason for the alarm when it goes up, else nothing."""
        return self._raise(f"the camera gives no picture for {self.seconds:g} s") if self.seconds else ""

    def _raise(self, reason: str) -> str:
        if self.alarmed or time.monotonic() - self._changed < self.seconds:
            return ""
        self.alarmed = True
        return reason
