"""The scores of good parts at export, as far as a bundle remembers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edgead.errors import BundleError
from edgead.evaluation.thresholds import Threshold, Thresholds

SHARES = (0.05, 0.2, 0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Level:
    """A score, and how many of the good images' scores were above it (a part of one where it lay between two)."""

    score: float
    above: float


@dataclass(frozen=True)
class Reference:
    """levels: some scores, in raw units, rising. scores: of how many good images."""

    levels: tuple[Level, ...]
    scores: int

    @classmethod
    def of_scores(cls, scores: ArrayLike) -> Reference:
        """What a bundle should remember of good images' scores [N]: their quantiles of 5, 20, 50, 80 and 95 %, and
        their lowest, below which many are when the scores only spread."""
        values = np.ravel(np.asarray(scores, np.float64))
        at = {float(np.quantile(values, share)) for share in SHARES} | {float(np.nextafter(values.min(), -np.inf))}
        return cls(tuple(Level(score, float((values > score).sum())) for score in sorted(at)), values.size)

    @classmethod
    def of(
        cls, thresholds: Thresholds, score_range: tuple[float, float], remembered: Reference | None = None
    ) -> Reference | None:
        """What a manifest tells: what it remembers (`Variant.good_scores`), and where it does not, of older bundles,
        the lowest score (the range begins there), the 80 % quantile (a fitted tail begins there), and what the warn
        threshold was fitted to. None where they tell nothing."""
        if remembered is not None:
            return remembered
        warn, found = thresholds.warn, {}
        scores = int(warn.detail.get("scores", 0))
        if not scores or "probability" in (warn.method, thresholds.image.method):
            return None
        for score, above in _told(warn):
            found[score] = above
        lowest = score_range[0]
        if thresholds.image.method in ("tail", "quantile", "quantile+margin", "f1"):
            found[float(np.nextafter(lowest, -np.inf))] = float(scores)
        return cls(tuple(Level(score, found[score]) for score in sorted(found)), scores)

    def to_json(self) -> dict[str, Any]:
        return {"images": self.scores, "levels": [asdict(level) for level in self.levels]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Reference:
        """Read what `to_json` gave, of a manifest that keeps its schema. Raises BundleError for a level that more
        scores are above than there are."""
        images = int(document["images"])
        levels = tuple(Level(float(level["score"]), float(level["above"])) for level in document["levels"])
        if any(level.above > images for level in levels):
            what = f"more than all of {images} scores are above a level"
            raise BundleError(what, "manifest.json:good_scores", "export the bundle again")
        return cls(levels, images)


def _told(threshold: Threshold) -> list[tuple[float, float]]:
    """The scores that a threshold's detail speaks of, and how many of the good images' scores were above each."""
    detail = threshold.detail
    count = float(detail["scores"])
    if threshold.method == "tail":
        inside = (float(detail["location"]), float(detail["exceedances"]))
        return [inside, (threshold.value, float(detail["rate"]) * count)]
    if threshold.method == "quantile":
        return [(threshold.value, (1 - float(detail["quantile"])) * count)]
    return []
