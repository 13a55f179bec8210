"""How a detector's score follows from its map, and a verdict from its score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.bands import Bands
from edgead.detector import Detector
from edgead.errors import DataError


@dataclass(frozen=True)
class Scoring:
    """What the scores of a detector mean, and its score as a function of its map.

    kind: the map's highest value or its mean, as the options in the
    manifest say under `score`; None where the score is no function of the map (a probability). pool: the side of the
    windows that are averaged before the highest is taken, 1 for none.
    """

    bands: Bands
    kind: Literal["max", "mean"] | None
    pool: int = 1

    @classmethod
    def of(cls, detector: Detector) -> Scoring:
        """The scoring of a running detector."""
        options, bands = detector.bundle.manifest.options, detector.bands
        kind = options.get("score") if bands.thresholds.image.method != "probability" else None
        known: Literal["max", "mean"] | None = "max" if kind == "max" else "mean" if kind == "mean" else None
        return cls(bands, known, int(options.get("score_pool", 1)))

    @property
    def levels(self) -> tuple[float, ...]:
        """The values of the map at which an area decides something: that make regions, and a verdict where the score is
        a single place's."""
        found = self.bands.thresholds
        pixel = found.pixel.value
        return (pixel,) if self.kind == "mean" else (found.image.value, found.warn.value, pixel)

    def require_map(self) -> None:
        """Raise DataError where a part of the map has no score."""
        if self.kind is None:
            raise DataError(
                "the score of this detector is a probability for the whole picture, which no area of its map changes",
                "region of interest, ignored areas and minimum area",
                "crop the camera's picture, or train a detector whose score is that of its map",
            )

    def score(self, values: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
        """The score of the part of a map [H, W] where `inside` is True (somewhere), in raw units, a float32's value.

        Where the score is the highest average over windows, an average is that of the window's values inside; a
        window with less than half of its pixels inside is divided by that half, so that single pixels at an edge do
        not decide alone, and no place inside is left unseen. With everything inside it is the graph's own score; a mean
        that the graph takes before it smooths the map differs by what the smoothing does at the border.
        """
        if self.kind == "mean":
            return float(np.float32(values[inside].mean(dtype=np.float64)))
        if self.pool == 1:
            return float(values[inside].max())
        count = _windows(inside.astype(np.float64), self.pool)
        total = _windows(np.where(inside, values, 0).astype(np.float64), self.pool)
        averages = total / np.maximum(count, math.ceil(self.pool**2 / 2))
        return float(np.float32(averages[count > 0.5].max()))


def _windows(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The sum over every window of side x side pixels that lies in the map: [H - side + 1, W - side + 1]."""
    sums = cv2.integral(values, sdepth=cv2.CV_64F)
    return np.asarray(sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side])
