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
