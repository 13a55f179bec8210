"""How large a defect has to be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DataError


@dataclass(frozen=True)
class AreaLimit:
    """A least area: `pixels` of the frame, or a `share` of it, 0..1. Raises DataError for both, none, or no number."""

    pixels: float | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.pixels, self.share) if value is not None]
        if len(given) != 1 or not 0 < given[0] < math.inf or (self.share is not None and self.share > 1):
            todo = "give pixels of the frame like 50, or a share of it like 0.5%"
            raise DataError("this is no least area", "minimum area", todo)

    @classmethod
    def parse(cls, text: str) -> AreaLimit:
        """`50` pixels of the frame, or `0.5%` of it. Raises DataError for anything else."""
        try:
            return cls(share=float(text[:-1]) / 100) if text.endswith("%") else cls(pixels=float(text))
        except ValueError:
            todo = "give pixels of the frame like 50, or a share of it like 0.5%"
            raise DataError("this is no least area", text, todo) from None

    def on_map(self, grid: tuple[int, int], frame: tuple[int, int]) -> float:
        """The limit in pixels of a map of `grid` [height, width], for a frame of that height and width."""
        cells = grid[0] * grid[1]
        return self.share * cells if self.share is not None else (self.pixels or 0) * cells / (frame[0] * frame[1])


def require_room(inside: NDArray[np.bool_], pixels: float) -> None:
    """Raise DataError where no defect of so many pixels of the map fits into where one looks, bool [H, W]: every one
    would be too small, and every part good."""
    stats = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)[2]
    largest = int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
    if pixels > largest:
        what = f"a defect would need {pixels:g} pixels of the map, and the largest area to look at has {largest}"
        raise DataError(what, "minimum area", "give a smaller one, or look at more")


def cut_small(values: NDArray[np.float32], levels: Iterable[float], pixels: float) -> NDArray[np.float32]:
    """The map [H, W] without what is smaller than `pixels`: its area opening (Vincent 1993), at `levels` alone.

    For each level, from the highest on: the values of an 8-connected region at the level or above that has fewer
    pixels than the limit become the next value below the level. A score or a region at one of the levels is then one
    of an area that is large enough, exactly as for the opening at every value, at the cost of a few labellings. The
    map itself is returned where nothing is cut.
    """
    kept = values
    for level in sorted(set(levels), reverse=True):
        high = (kept >= level).astype(np.uint8)
        if not high.any():
            continue
        _, labels, stats, _ = cv2.connectedComponentsWithStats(high, connectivity=8)
        small = stats[:, cv2.CC_STAT_AREA] < pixels
        small[0] = False  # the background
        if small.any():
            kept = np.where(small[labels], np.nextafter(np.float32(level), np.float32(-np.inf)), kept)
    return kept
