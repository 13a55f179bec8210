"""Connected regions of an anomaly map."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.result import Region


def find_regions(
    anomaly_map: NDArray[np.float32], mask: NDArray[np.bool_], height: int, width: int
) -> tuple[Region, ...]:
    """The 8-connected regions of `mask` [H, W], the highest peak first, in pixels of a frame of height x width."""
    if not mask.any():
        return ()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    peaks = np.full(count, -np.inf, np.float32)
    np.maximum.at(peaks, np.asarray(labels, np.intp)[mask], anomaly_map[mask])
    down, across = height / mask.shape[0], width / mask.shape[1]
    regions = []
    for label in range(1, count):
        left, top, wide, high, area = (int(value) for value in stats[label])
        x, y = int(left * across), int(top * down)
        right, bottom = int(np.ceil((left + wide) * across)), int(np.ceil((top + high) * down))
        box = (x, y, min(right, width) - x, min(bottom, height) - y)
        regions.append(Region(box, max(1, round(area * down * across)), float(peaks[label])))
    return tuple(sorted(regions, key=lambda region: -region.peak))
