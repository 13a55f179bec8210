"""The operators once more in NumPy, float64, written from their definitions and not from the kernels: the oracle of the
tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resize_matrix(size: int, out: int) -> NDArray[np.float64]:
    """float64 [out, size]: the triangle filter of half width max(1, size / out) at half-pixel centres, rows summing to
    1."""
    scale = size / out
    centre = (np.arange(out)[:, None] + 0.5) * scale - 0.5
    distance = np.abs(np.arange(size)[None, :] - centre) / max(scale, 1.0)
    weight = np.clip(1.0 - distance, 0.0, None)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """uint8 [h, w, c] -> float64 [height, width, c], 0..255, not rounded."""
    columns, rows = resize_matrix(image.shape[0], height), resize_matrix(image.shape[1], width)
    resized = np.einsum("yh,hwc,xw->yxc", columns, image.astype(np.float64), rows, optimize=True)
    return np.asarray(resized, np.float64)


def srgb_to_lab(rgb: NDArray[np.floating]) -> NDArray[np.float64]:
    """CIELAB, D65, 2 degrees: float [..., 3] of 0..1 -> float64 [..., 3]. IEC 61966-2-1 and CIE 15."""
    rgb = np.asarray(rgb, np.float64)
    linear = np.where(rgb > 0.04045, ((np.maximum(rgb, 0) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    relative = linear @ np.transpose(matrix) / [0.95047, 1.0, 1.08883]
    x, y, z = np.moveaxis(np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(lab1: NDArray[np.floating], lab2: NDArray[np.floating]) -> NDArray[np.float64]:
    """The colour difference of CIELAB: float [..., 3] twice -> float64 [...].

    Equations (2) to (22) of Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula", Color Research and
    Application 30(1), 2005, in degrees and with the cases as they are there. Opposite hues differ by 180 degrees up to
    the rounding of two arc tangents, so the cases are told apart with a billionth of a degree to spare.
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(lab, np.float64), -1, 0) for lab in (lab1, lab2))
    mean7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7  # (2), (3)
    g = 0.5 * (1 - np.sqrt(mean7 / (mean7 + 25.0**7)))  # (4)
    a1, a2 = (1 + g) * a1, (1 + g) * a2  # (5)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)  # (6)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360  # (7)

    no_hue, apart = c1 * c2 == 0, h2 - h1
    within = np.abs(apart) <= 180 + 1e-9
    dl, dc = l2 - l1, c2 - c1  # (8), (9)
    dh = np.select([no_hue, within, apart > 0], [np.zeros_like(apart), apart, apart - 360], apart + 360)  # (10)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh) / 2)  # (11)

    lightness, chroma, total = (l1 + l2) / 2, (c1 + c2) / 2, h1 + h2  # (12), (13)
    hue = np.select([no_hue, within, total < 360], [total, total / 2, (total + 360) / 2], (total - 360) / 2)  # (14)
    cosines = [np.cos(np.radians(angle)) for angle in (hue - 30, 2 * hue, 3 * hue + 6, 4 * hue - 63)]
    t = 1 - 0.17 * cosines[0] + 0.24 * cosines[1] + 0.32 * cosines[2] - 0.20 * cosines[3]  # (15)
    dtheta = 30 * np.exp(-(((hue - 275) / 25) ** 2))  # (16)
    rc = 2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))  # (17)
    sl = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)  # (18)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t  # (19), (20)
    rt = -np.sin(np.radians(2 * dtheta)) * rc  # (21)
    square = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * (dc / sc) * (dh / sh)  # (22)
    return np.asarray(np.sqrt(np.maximum(square, 0)), np.float64)
