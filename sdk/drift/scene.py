"""Whether the picture is still the one that was there at the start: its light, its focus, its place."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.drift.change import Change
from edgead.drift.place import Place
from edgead.frame import Frame, Image
from edgead.result import Result

Gray: TypeAlias = NDArray[np.uint8]
Small: TypeAlias = NDArray[np.float32]
Shift: TypeAlias = tuple[float, float, float]

SIDE = 640  # pixels of the longer side; a blur that does not show here hardly reaches a detector
SMALL = 128  # pixels of the longer side, for the shift
SPREADS = 3.0  # how many times a frame's usual spread the median of a window may be off
FLOORS = {"brightness": 0.08, "contrast": 0.15, "focus": 0.2}
"""Shares by which a measure may always be off: less is no reason to stop a line."""
SHIFT_FLOOR = 0.02  # share of the longer side
RESPONSE = 0.5  # of the phase correlation, 0..1; below, both pictures have no place in common
LEAST = 1e-3  # of a measure, so that it has a logarithm
CALM = 0.6  # share of its limit below which a measure is itself again
WORDS = {"brightness": "the picture's brightness", "contrast": "its contrast", "focus": "its sharpness"}


@dataclass(frozen=True)
class Look:
    """What one frame measures. brightness: its mean luma, 0..255. contrast: the standard deviation of luma. focus: that
    of its Laplacian, as a share of contrast, so that neither light nor the part's texture alone changes it."""

    brightness: float
    contrast: float
    focus: float

    @classmethod
    def at(cls, gray: Gray) -> Look:
        """The measures of luma, uint8 [H, W]."""
        mean, deviation = (float(value.item()) for value in cv2.meanStdDev(gray))
        edges = float(cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_16S))[1].item())
        return cls(mean, deviation, edges / max(deviation, 1e-3))


class Usual:
    """What the first frames measured, of frames of one size (height, width)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.looks: list[Look] = []
        self.pictures: list[Small] = []
        self.wandering = 0.0  # spread of the shift, pixels
        self._place: Place | None = None

    def finish(self) -> None:
        """No more frames will come: make the mean picture, and let the others go."""
        self._place = Place(np.asarray(np.mean(self.pictures, axis=0), np.float32))
        shifts = np.array([self.shift(picture)[:2] for picture in self.pictures])
        self.wandering = 1.4826 * float(np.median(np.hypot(*(shifts - np.median(shifts, axis=0)).T)))
        self.pictures.clear()

    def of(self, name: str) -> tuple[float, float]:
        """The median of a measure's logarithm, and its spread."""
        logs = np.log(np.maximum([getattr(look, name) for look in self.looks], LEAST))
        middle = float(np.median(logs))
        return middle, 1.4826 * float(np.median(np.abs(logs - middle)))

    def shift(self, picture: Small) -> Shift:
        """Pixels of the frame to the right and down from the mean picture, and the response, 0..1."""
        if self._place is None:
            return 0.0, 0.0, 0.0
        x, y, response = self._place.shift(picture)
        scale = max(self.size) / max(picture.shape)
        return x * scale, y * scale, response


class Scene:
    """Compares the last frames of a camera with its first ones.

    It looks at every `every`-th frame. The first `learn` looks are what is usual: the median of each measure and its
    spread (1.4826 times the median deviation), and their mean picture. From then on the median of the last `window`
    looks is compared. A measure has changed when its logarithm is off by more than its floor and by more than 3 usual
    spreads: as frames may be alike for as long as a part rests, no number of them is trusted to spread less than a
    single one. The place is measured as the shift to the mean picture by phase correlation, and has changed by the same
    rule, with a floor of 2 % of the longer side. Where nothing stays in its place from part to part, or a picture moved
    by more than about a quarter, there is no such shift, and none is said. A change is said once, and again only after
    the measure was itself again (within 60 % of its limit) for a whole window.

    A Change's value and usual: of brightness, contrast and focus see `Look`; of shift pixels of the frame, and 0.
    Frames of another size begin anew.
    """

    def __init__(self, *, learn: int = 30, window: int = 15, every: int = 5) -> None:
        if learn < 3 or window < 1 or every < 1:
            raise ValueError(f"learn {learn}, window {window} and every {every} are no way to look")
        self._learn, self._window, self._every = learn, window, every
        self._count = 0
        self._begin((0, 0))

    def observe(self, frame: Frame, result: Result) -> Sequence[Change]:
        """One more frame -> what has changed with it, mostly nothing."""
        self._count += 1
        if self._count % self._every:
            return []
        size = (frame.image.shape[0], frame.image.shape[1])
        if size != self._usual.size:
            self._begin(size)
        gray = _luma(frame.image)
        look, small = Look.at(gray), _reduced(gray, SMALL).astype(np.float32)
        if len(self._usual.looks) < self._learn:
            self._usual.looks.append(look)
            self._usual.pictures.append(small)
            if len(self._usual.looks) == self._learn:
                self._usual.finish()
            return []
        self._last.append((look, self._usual.shift(small)))
        if len(self._last) < self._window:
            return []
        found = [self._compare(name, frame) for name in FLOORS]
        return [change for change in (*found, self._compare_place(frame)) if change]

    def _begin(self, size: tuple[int, int]) -> None:
        self._usual = Usual(size)
        self._last: deque[tuple[Look, Shift]] = deque(maxlen=self._window)
        self._changed: dict[str, int] = {}  # for how many looks in a row a measure was itself again

    def _compare(self, name: str, frame: Frame) -> Change | None:
        middle, spread = self._usual.of(name)
        now = float(np.median(np.log(np.maximum([getattr(look, name) for look, _ in self._last], LEAST))))
        limit = max(math.log1p(FLOORS[name]), SPREADS * spread)
        if not self._crosses(name, abs(now - middle), limit):
            return None
        value, before = math.exp(now), math.exp(middle)
        less = "fell" if value < before else "rose"
        text = f"{WORDS[name]} {less} by {abs(value / before - 1):.0%} (from {before:.3g} to {value:.3g})"
        return _change(name, text, value, before, frame)

    def _compare_place(self, frame: Frame) -> Change | None:
        x, y, response = np.median([shift for _, shift in self._last], axis=0)
        moved = math.hypot(x, y) if response >= RESPONSE else 0.0
        limit = max(SHIFT_FLOOR * max(self._usual.size), SPREADS * self._usual.wandering)
        if not self._crosses("shift", moved, limit):
            return None
        text = f"the picture moved by {moved:.0f} pixels ({x:+.0f} across, {y:+.0f} down)"
        return _change("shift", text, moved, 0.0, frame)

    def _crosses(self, name: str, off: float, limit: float) -> bool:
        """Whether a measure has just changed; it stays so until it is calm."""
        if name in self._changed:
            self._changed[name] = self._changed[name] + 1 if off < CALM * limit else 0
            if self._changed[name] == self._window:
                del self._changed[name]
            return False
        if off > limit:
            self._changed[name] = 0
        return off > limit


def _luma(image: Image) -> Gray:
    """Luma of a frame, uint8, on SIDE pixels or fewer."""
    plain = image.reshape(image.shape[:2]) if image.ndim == 2 or image.shape[2] == 1 else image
    small = _reduced(plain, SIDE)
    return small if small.ndim == 2 else np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def _reduced(image: Image, side: int) -> Image:
    scale = min(1.0, side / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else image


def _change(what: str, text: str, value: float, usual: float, frame: Frame) -> Change:
    return Change(what, text, value, usual, frame.frame_id, frame.source, frame.captured_at)
