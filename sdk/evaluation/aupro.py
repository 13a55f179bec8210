"""AUPRO: the area under the per-region overlap curve (Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV
2021)."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DataError


def aupro(masks: NDArray[np.bool_], maps: NDArray[np.float32], limit: float = 0.3) -> float:
    """Area under the mean overlap of the defects' regions against the false positive rate up to `limit`, over
    `limit`: 0..1.

    masks: bool [N, H, W], where the parts are defective. maps: float [N, H, W], higher is more anomalous. A region is
    an 8-connected component of a mask; its overlap at a threshold is the share of its pixels that reach it; the false
    positive rate is that of the defect-free pixels of all images together. Exact: every distinct value is a
    threshold, the curve is linear between them and at the limit.

    NaN where there is no region or no defect-free pixel. Raises DataError for a value that is not a number, shapes
    that differ, or a limit outside 0..1.
    """
    if masks.ndim != 3 or masks.shape != maps.shape:
        raise DataError(f"{masks.shape} masks for {maps.shape} maps", "AUPRO", "give both as [N, H, W]")
    if not 0 < limit <= 1:
        raise DataError(
            f"a false positive rate of {limit} cannot be the limit", "AUPRO", "give one in 0..1, 0.3 is usual"
        )
    if np.isnan(maps).any():
        raise DataError("a value of a map is not a number", "AUPRO", "check the model that gave it")
    masks = masks.astype(np.bool_, copy=False)
    free = np.sort(maps[~masks])
    regions = list(_regions(masks, maps))
    if not regions or not free.size:
        return float("nan")
    values = np.concatenate(regions)
    weights = np.concatenate([np.full(region.size, 1 / region.size) for region in regions])
    order = np.argsort(values)[::-1]
    last = np.append(np.flatnonzero(np.diff(values[order])), values.size - 1)  # of each run of equal values
    thresholds, overlap = values[order][last], np.cumsum(weights[order])[last] / len(regions)
    # The overlap only grows at values found inside regions. Just above such a value the curve has the overlap of the
    # value before and the false positives so far, so two points for each value give the same area as one for every
    # value of every pixel.
    above = free.size - np.searchsorted(free, thresholds, "right")
    reached = free.size - np.searchsorted(free, thresholds, "left")
    x = np.concatenate([[0], np.stack([above, reached], axis=1).ravel(), [free.size]]) / free.size
    y = np.concatenate([[0], np.stack([np.append(0, overlap[:-1]), overlap], axis=1).ravel(), overlap[-1:]])
    return _area(x, y, limit) / limit


def _regions(masks: NDArray[np.bool_], maps: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The map's values inside each region."""
    for mask, values in zip(masks, maps, strict=True):
        if mask.any():
            count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            inside = labels[mask]
            order = np.argsort(inside, kind="stable")
            yield from np.split(values[mask][order], np.cumsum(np.bincount(inside, minlength=count)[1:])[:-1])


def _area(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """The trapezoids under y(x) for x from 0 to `limit`; x does not fall, and reaches 1."""
    end = int(np.searchsorted(x, limit, "right"))  # the first point beyond
    if end < x.size:
        share = (limit - x[end - 1]) / (x[end] - x[end - 1])
        y_limit = y[end - 1] + share * (y[end] - y[end - 1])
        x, y = np.append(x[:end], limit), np.append(y[:end], y_limit)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)
