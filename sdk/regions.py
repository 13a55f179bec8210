"""Connected regions of an anomaly map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgead.kernels import postprocess
from edgead.result import Region


class Spot(NamedTuple):
    """A region in pixels of the map: its box, the number of its pixels, the highest value among them."""

    left: int
    top: int
    width: int
    height: int
    area: int
    peak: float


def find_regions(anomaly_map: NDArray[np.float32], threshold: float, height: int, width: int) -> tuple[Region, ...]:
    """The 8-connected regions of a map [H, W] at the threshold or above, the highest peak first, in pixels of a frame
    of height x width."""
    return in_frame(find_spots(anomaly_map, threshold), anomaly_map.shape, height, width)


def find_spots(anomaly_map: NDArray[np.float32], threshold: float) -> tuple[Spot, ...]:
    """The 8-connected regions of a map [H, W] at the threshold or above, in the order of their first pixel."""
    return tuple(Spot(*region) for region in postprocess.find_regions(anomaly_map, threshold).tolist())


def in_frame(spots: Iterable[Spot], grid: tuple[int, ...], height: int, width: int) -> tuple[Region, ...]:
    """The spots of a map of `grid` [H, W] in pixels of a frame of height x width; the highest peak first, of equal ones
    the one further up, then further left."""
    down, across = height / grid[0], width / grid[1]
    regions = []
    for spot in spots:
        x, y = int(spot.left * across), int(spot.top * down)
        right, bottom = int(np.ceil((spot.left + spot.width) * across)), int(np.ceil((spot.top + spot.height) * down))
        box = (x, y, min(right, width) - x, min(bottom, height) - y)
        regions.append(Region(box, max(1, round(spot.area * down * across)), spot.peak))
    return tuple(
        sorted(regions, key=lambda region: (-region.peak, region.box[1], region.box[0], region.box, region.area))
    )
