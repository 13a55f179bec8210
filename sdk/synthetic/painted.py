"""Defects painted on a photograph of a good part: what to judge an engine by where no bad part was ever photographed.

They are no substitute for real ones. A detector in two precisions that tells them from good parts equally well is
likely to tell real ones equally well; how well it tells those, they do not say.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_Paint = Callable[[Image, np.random.Generator], Image]

VISIBLE = 12
"""Gray levels by which a channel has to change, to count as defective."""
SMALLEST = 8
"""Pixels of the smallest defect."""
_TRIES = 20


def paint(image: Image, random: np.random.Generator) -> tuple[Image, NDArray[np.bool_]]:
    """A copy with one defect, uint8 [H, W, 3], and where it is, bool [H, W]: each pixel that changed visibly.

    A patch of the part itself at a wrong place or a thin scar of it, after CutPaste (Li et al. 2021), or a blot. What
    was painted and cannot be seen, as background on background, is painted again elsewhere.
    """
    for _ in range(_TRIES):
        way = _WAYS[random.integers(len(_WAYS))]
        painted = way(image, random)
        mask = _changed(image, painted)
        if np.count_nonzero(mask) >= SMALLEST:
            return painted, mask
    # All of one colour, so that nothing cut out of it shows: a spot that does.
    painted = image.copy()
    height, width = image.shape[:2]
    spot = painted[height // 3 : height // 3 + 4, width // 3 : width // 3 + 4]
    spot[:] = np.where(spot < 128, 255, 0)
    return painted, _changed(image, painted)


def _patch(image: Image, random: np.random.Generator) -> Image:
    """A rectangle of 0.3 to 3 % of the image, its brightness changed a little, pasted elsewhere."""
    area, aspect = random.uniform(0.003, 0.03), np.exp(random.uniform(-1, 1))
    return _pasted(image, _side(image, area * aspect), _side(image, area / aspect), 0.0, random)


def _scar(image: Image, random: np.random.Generator) -> Image:
    """A strip, ten times as long as wide or more, pasted at any angle."""
    long = round(max(image.shape[:2]) * random.uniform(0.1, 0.3))
    wide = max(2, round(long * random.uniform(0.04, 0.1)))
    return _pasted(image, wide, long, random.uniform(0, 180), random)


def _blot(image: Image, random: np.random.Generator) -> Image:
    """A soft ellipse, darker, lighter or of another colour."""
    height, width = image.shape[:2]
    centre = random.uniform((0.15 * width, 0.15 * height), (0.85 * width, 0.85 * height))
    axes = random.uniform(0.01, 0.06, 2) * max(height, width) + 1
    angle = random.uniform(0, np.pi)
    y, x = np.mgrid[:height, :width] - centre[::-1, None, None]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    amount = np.exp(-(((u / axes[0]) ** 2 + (v / axes[1]) ** 2) ** 2))[..., None]
    shade = random.choice((-1, 1)) * random.uniform(30, 90) + random.uniform(-20, 20, 3)
    return np.asarray(np.clip(image + amount * shade, 0, 255).astype(np.uint8))


_WAYS: tuple[_Paint, ...] = (_patch, _scar, _blot)


def _pasted(image: Image, high: int, wide: int, angle: float, random: np.random.Generator) -> Image:
    """What is at one place of the image, in a rectangle, turned and brightened, at another place."""
    height, width = image.shape[:2]
    high, wide = min(high, height), min(wide, width)
    top, left = random.integers(height - high + 1), random.integers(width - wide + 1)
    cut = image[top : top + high, left : left + wide].astype(np.float32) * random.uniform(0.7, 1.3)
    turn = cv2.getRotationMatrix2D((wide / 2, high / 2), angle, 1.0)
    centre = random.uniform((wide / 2, high / 2), (width - wide / 2, height - high / 2))
    turn[:, 2] += np.subtract(centre, (wide / 2, high / 2))
    moved = cv2.warpAffine(cut, turn, (width, height))
    there = cv2.warpAffine(np.ones((high, wide), np.float32), turn, (width, height))[..., None]
    return np.clip(image * (1 - there) + moved * there, 0, 255).astype(np.uint8)


def _side(image: Image, area: float) -> int:
    return max(2, round(float(np.sqrt(area * image.shape[0] * image.shape[1]))))


def _changed(before: Image, after: Image) -> NDArray[np.bool_]:
    return np.asarray((cv2.absdiff(before, after) >= VISIBLE).any(axis=2))
