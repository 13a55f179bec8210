"""Pairs of colours of CIELAB on which ways to compute CIEDE2000 are held against each other."""

from __future__ import annotations

import numpy as np

CHUNK = 50_000  # pairs in a draw
LOW, HIGH = (0, -128, -128), (100, 127, 127)


def anywhere(random, size=CHUNK):
    """float64 [size, 3]"""
    return random.uniform(LOW, HIGH, (size, 3))


def unrelated(random):
    return anywhere(random), anywhere(random)


def close(random):
    first = anywhere(random)
    return first, first + random.normal(size=first.shape) * 10 ** random.uniform(-4, 0.5, (CHUNK, 1))


def nearly_neutral(random):
    """One of the two or both, down to what is left of a gray in float32."""
    first, second = unrelated(random)
    first[:, 1:] *= 10 ** random.uniform(-9, -1, (CHUNK, 1))
    second[::2, 1:] *= 10 ** random.uniform(-9, -1, (CHUNK // 2, 1))
    return first, second


def nearly_opposite(random):
    """Hues that differ by 180 degrees, give or take 0.0001 to 1 degree: on both sides of the edge, not on it."""
    hue = random.uniform(0, 2 * np.pi, CHUNK)
    beside = np.radians(10 ** random.uniform(-4, 0, CHUNK)) * random.choice([-1, 1], CHUNK)
    colors = []
    for angle in (hue, hue + np.pi + beside):
        chroma = 128 * 10 ** random.uniform(-4, 0, CHUNK)
        colors.append(np.stack([random.uniform(0, 100, CHUNK), chroma * np.cos(angle), chroma * np.sin(angle)], axis=1))
    return tuple(colors)


def opposite(random):
    """float32 pairs of which it can be said that they are opposite: a and b of the one are those of the other times a
    power of two. Some lie on an axis."""
    first, second = single(unrelated(random))
    first[: CHUNK // 5, 1] = 0
    first[CHUNK // 5 : CHUNK // 3, 2] = 0
    second[:, 1:] = first[:, 1:] * -(2.0 ** random.integers(-4, 5, (CHUNK, 1)))
    return first, second


def single(pair):
    """Both in float32."""
    return tuple(colors.astype(np.float32) for colors in pair)
