"""How far two detectors' answers to the same images are apart."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.evaluation.ranking import centred_ranks

_TINY = float(np.finfo(np.float32).tiny)


def map_error(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """sqrt(mean((other - reference)^2)) / std(reference), of maps float32 [N, H, W]: 0 for the same maps, 1 where all
    that they told apart is lost. Maps without spread have nothing to lose; then the share is of their largest value."""
    difference = float(np.sqrt(np.mean(np.square(other - reference), dtype=np.float64)))
    scale = float(np.std(reference, dtype=np.float64)) or float(np.abs(reference).max())
    return difference / max(scale, _TINY)


def pyramid_errors(reference: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, ...]:
    """`map_error` at every level of the maps' pyramid, as long as it has two places each way. Level k has the means of
    2^k x 2^k pixels.

    Rounding noise averages out and falls from level to level; what stays is a map that is off over whole regions, which
    is what moves scores and verdicts.
    """
    found = []
    while min(reference.shape[1:]) >= 2:
        found.append(map_error(reference, other))
        reference, other = _halved(reference), _halved(other)
    return tuple(found)


def largest_difference(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """max |other - reference| / max |reference|."""
    return float(np.abs(reference - other).max()) / max(float(np.abs(reference).max()), _TINY)


def rank_correlation(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's, -1..1: that of the ranks, equal values sharing the mean of theirs. 1 where the reference is constant
    and there is no order to lose, 0 where the other alone is."""
    ours, theirs = centred_ranks(reference), centred_ranks(other)
    if not ours.any():
        return 1.0
    return float(ours @ theirs / np.sqrt((ours @ ours) * (theirs @ theirs))) if theirs.any() else 0.0


def _halved(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 places; an odd row or column at the end is left out."""
    height, width = (side // 2 * 2 for side in maps.shape[1:])
    size = (width // 2, height // 2)
    halves = [cv2.resize(image[:height, :width], size, interpolation=cv2.INTER_AREA) for image in maps]
    return np.stack(halves).astype(np.float32)
