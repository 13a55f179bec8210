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


def rgb_of_yuv(yuv: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB of ITU-R BT.601's narrow range: uint8 [..., 3] -> uint8 [..., 3].

    Its factors, as they are printed with three decimals, are rounded to 20 fractional bits, and the sums to integers.
    """
    factors = np.array([[1.164, 0, 1.596], [1.164, -0.391, -0.813], [1.164, 2.018, 0]])
    shifted = np.maximum(yuv.astype(np.int64), [16, 0, 0]) - [16, 128, 128]
    sums = shifted @ np.rint(factors * 2**20).astype(np.int64).T
    return np.asarray(np.clip((sums + 2**19) // 2**20, 0, 255), np.uint8)


def rgb_of_frame(frame: NDArray[np.uint8], layout: str) -> NDArray[np.uint8]:
    """All pixels of a frame, an array of one of the layouts of `preprocess`, as RGB: uint8 [h, w, 3]."""
    if layout == "nv12":
        height, width = len(frame) // 3 * 2, frame.shape[1]
        chroma = frame[height:].reshape(height // 2, width // 2, 2).repeat(2, axis=0).repeat(2, axis=1)
        return rgb_of_yuv(np.concatenate([frame[:height, :, None], chroma], axis=2))
    if layout == "yuyv":
        chroma = np.stack([frame[:, ::2, 1], frame[:, 1::2, 1]], axis=2).repeat(2, axis=1)
        return rgb_of_yuv(np.concatenate([frame[:, :, :1], chroma], axis=2))
    if layout == "gray":
        return np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=2)
    return frame[:, :, ::-1] if layout == "bgr" else frame


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


def bilinear_matrix(size: int, out: int) -> NDArray[np.float64]:
    """float64 [out, size]: what each of `size` samples gives to a position between two of them, at half-pixel centres;
    beyond the first and the last centre these alone."""
    position = np.clip((np.arange(out) + 0.5) * size / out - 0.5, 0, size - 1)
    return np.clip(1.0 - np.abs(position[:, None] - np.arange(size)[None, :]), 0.0, None)


def overlay(
    rgb: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    low: float,
    high: float,
    colours: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """uint8 [H, W, 3], float32 [h, w] and the colours of heat 0 to 1, uint8 [256, 3] -> float64 [H, W, 3], not
    rounded."""
    with np.errstate(invalid="ignore", divide="ignore"):
        heat = (anomaly_map.astype(np.float64) - low) / max(high - low, float(np.finfo(np.float32).tiny))
    heat = np.where(np.isnan(heat), 1.0, np.clip(heat, 0, 1))
    height, width = rgb.shape[:2]
    heat = bilinear_matrix(heat.shape[0], height) @ heat @ bilinear_matrix(heat.shape[1], width).T
    weight = (0.65 * np.minimum(1, 1.5 * heat))[:, :, None]
    blend = rgb * (1 - weight) + colours[np.rint(heat * 255).astype(np.intp)] * weight
    return np.asarray(blend, np.float64)


def outline(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """bool [h, w], stretched to bool [height, width]: where both some and not all of the mask is set within max(1, a
    270th of the shorter side) rows and columns. Beyond its border nothing is set."""
    reach = max(1, int(min(height, width) / 270 + 0.5))
    bounds = []
    for size, out in zip(mask.shape, (height, width), strict=True):
        centre = np.arange(-reach, out + reach) + 0.5
        cell = np.clip(np.floor(centre * size / out).astype(np.intp), -1, size) + 1
        cell[:reach], cell[out + reach :] = 0, size + 1
        bounds.append((cell[: -2 * reach], cell[2 * reach :] + 1))
    sums = np.pad(np.pad(mask, 1).astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    (top, bottom), (left, right) = bounds
    rows = sums[bottom] - sums[top]
    found = rows[:, right] - rows[:, left]
    return np.asarray((found > 0) & (found < np.outer(bottom - top, right - left)))


def neighbor_masked_attention(
    q: NDArray[np.floating],
    k: NDArray[np.floating],
    v: NDArray[np.floating],
    *,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
) -> NDArray[np.float64]:
    """Attention to all keys outside of a window around the query: float [N, height * width, C] -> float64, the same.

    You et al., "A Unified Model for Multi-class Anomaly Detection", NeurIPS 2022, section 3.2.
    """
    y, x = np.divmod(np.arange(height * width), width)
    rows, columns = np.abs(y[:, None] - y), np.abs(x[:, None] - x)
    hidden = (2 * rows < neighbor_height) & (2 * columns < neighbor_width)
    images, tokens, channels = q.shape
    heads = (images, tokens, num_heads, channels // num_heads)
    q, k, v = (np.asarray(array, np.float64).reshape(heads).transpose(0, 2, 1, 3) for array in (q, k, v))
    scores = np.where(hidden, -np.inf, q @ k.transpose(0, 1, 3, 2) / np.sqrt(heads[-1]))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attended = weights / weights.sum(axis=-1, keepdims=True) @ v
    return np.asarray(attended.transpose(0, 2, 1, 3).reshape(images, tokens, channels))
