"""Noise that every photograph draws from: made once for a size, then shifted, turned and cut."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import cv2
import numpy as np

from edgead.synthetic.surface import Map, smooth


def _noise(shape: tuple[int, int], stream: int) -> Map:
    return np.random.default_rng([0x7E47, stream]).standard_normal(shape, dtype=np.float32)


def _unit(noise: Map) -> Map:
    """Mean 0, deviation 1."""
    noise -= noise.mean()
    noise /= noise.std()
    noise.flags.writeable = False  # it is shared by all callers
    return noise


@lru_cache(maxsize=4)
def brushed(side: int) -> Map:
    """Marks of a grinding belt along x, [2 side, 2 side]: long streaks, some of them deep."""
    noise = _noise((2 * side, 2 * side), 0)
    fine = cv2.blur(noise, (max(side // 6, 1), 1), borderType=cv2.BORDER_REFLECT_101)
    coarse = cv2.blur(smooth(noise, side / 400), (max(side // 2, 1), 1), borderType=cv2.BORDER_REFLECT_101)
    return _unit(fine / fine.std() + 0.7 * coarse / coarse.std())


@lru_cache(maxsize=4)
def mottled(side: int) -> Map:
    """Mottled grain without a direction, [2 side, 2 side]."""
    noise = _noise((2 * side, 2 * side), 1)
    fine, coarse = smooth(noise, side / 320), smooth(noise, side / 90)
    return _unit(fine / fine.std() + 0.8 * coarse / coarse.std())


@lru_cache(maxsize=4)
def weave(side: int) -> Map:
    """A coated conveyor belt, [2 side, 2 side]: the weave shows through, and it is worn along its way."""
    pitch = side / 64
    phase = np.arange(2 * side, dtype=np.float32) * np.float32(2 * np.pi / pitch)
    across, down = np.sin(phase)[None, :], np.sin(phase)[:, None]
    noise = _noise((2 * side, 2 * side), 2)
    wear = cv2.blur(noise, (max(side // 3, 1), max(side // 60, 1)), borderType=cv2.BORDER_REFLECT_101)
    grain = smooth(noise, max(side / 256, 0.6))
    return _unit(1.0 * across * down + 0.5 * wear / wear.std() + 0.8 * grain / grain.std())


def window(texture: Map, side: int, rng: np.random.Generator) -> Map:
    """A random [side, side] view of a texture that is twice as large."""
    row, column = rng.integers(0, side, 2)
    return texture[row : row + side, column : column + side]


def turned(texture: Map, side: int, angle: float, rng: np.random.Generator) -> Map:
    """A random view of a texture, turned by `angle` radians, [side, side]."""
    sine, cosine = np.sin(angle), np.cos(angle)
    x, y = rng.uniform(0.7, 1.3, 2) * side
    matrix = np.array([[cosine, sine, x - side / 2 * (cosine + sine)], [-sine, cosine, y - side / 2 * (cosine - sine)]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast(Map, cv2.warpAffine(texture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101))


def clouds(side: int, cells: int, rng: np.random.Generator) -> Map:
    """Slow variation, deviation about 1, with `cells` bumps along a side; [side, side]."""
    small = rng.standard_normal((cells + 2, cells + 2), dtype=np.float32)
    return cast(Map, cv2.resize(small * np.float32(1.4), (side, side), interpolation=cv2.INTER_CUBIC))
