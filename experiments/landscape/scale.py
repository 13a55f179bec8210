"""Heights and colours that several loss landscapes share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.evaluation.charts import coordinate
from edgead.evaluation.markup import Markup, element
from edgead.experiments.landscape.plane import Landscape

_LEVELS = 12
_PALETTE = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]


@dataclass(frozen=True)
class Scale:
    """Losses as shares, 0..1, of what the landscapes of a picture span: by their logarithm where all are positive.

    levels: of the iso-lines, ascending, evenly spaced on the scale and rounded to two digits.
    """

    low: float
    high: float
    levels: tuple[float, ...]

    @classmethod
    def of(cls, landscapes: Sequence[Landscape]) -> Scale:
        """The scale for landscapes that are looked at together. What is not finite does not count."""
        every = np.concatenate([landscape.losses.ravel() for landscape in landscapes])
        known = every[np.isfinite(every)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        spaced = (np.geomspace if low > 0 else np.linspace)(low, high, _LEVELS + 2)
        rounded = sorted({float(f"{level:.2g}") for level in spaced[1:-1].tolist()})
        return cls(low, high, tuple(level for level in rounded if low < level < high))

    def finite(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """The losses, with the highest in the place of any that is not finite."""
        return np.where(np.isfinite(losses), losses, self.high)

    def shares(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """0 for the lowest loss to 1 for the highest and for any that is not finite."""
        known, low, high = self.finite(losses), self.low, self.high
        if low > 0:
            known, low, high = np.log(known), math.log(low), math.log(high)
        return np.clip((known - low) / (high - low or 1.0), 0, 1)

    @property
    def bands(self) -> list[tuple[float, float, str]]:
        """Where each band between levels begins and ends, as shares, and its colour."""
        bounds = [0.0, *self.shares(np.array(self.levels)).tolist(), 1.0]
        return [(begin, end, colour((begin + end) / 2)) for begin, end in itertools.pairwise(bounds)]

    def bar(self, x: float, y: float, height: float) -> list[Markup]:
        """The colours from the lowest loss at the bottom to the highest, with the levels beside them."""
        parts = [element("text", "loss", class_="label", x=coordinate(x), y=coordinate(y - 8))]
        for begin, end, fill in self.bands:
            top, tall = y + (1 - end) * height, (end - begin) * height
            size = {"x": coordinate(x), "y": coordinate(top), "width": 14, "height": coordinate(tall)}
            parts.append(element("rect", **size, fill=fill))
        for level, share in zip(self.levels, self.shares(np.array(self.levels)).tolist(), strict=True):
            place = coordinate(y + (1 - share) * height + 4)
            parts.append(element("text", number(level), class_="tick", x=coordinate(x + 20), y=place))
        return parts


def colour(share: float, light: float = 1.0) -> str:
    """The colour of a share of the scale, darker where there is less light. It is the same on light and dark pages, and
    brighter the higher the loss, for readers who see no colours."""
    red, green, blue = (round(light * value) for value in _PALETTE[round(255 * share)].tolist())
    return f"#{red:02x}{green:02x}{blue:02x}"


def number(value: float) -> str:
    """A loss or a step, short: two digits, or all of those before the point."""
    if not math.isfinite(value):
        return "not finite"
    words = f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.2g}"
    return words.replace("-", "\N{MINUS SIGN}")
