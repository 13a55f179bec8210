"""What a score means: the bands between the thresholds, and the score as a share of them."""

from __future__ import annotations

from dataclasses import dataclass

from edgead.evaluation.thresholds import Thresholds
from edgead.result import Verdict


@dataclass(frozen=True)
class Bands:
    """thresholds: in raw units. score_range: raw scores that become 0 and 1."""

    thresholds: Thresholds
    score_range: tuple[float, float]

    def verdict(self, score: float) -> Verdict:
        """What to do with a part of this raw score."""
        if score >= self.thresholds.image.value:
            return Verdict.REJECT
        return Verdict.WARN if score >= self.thresholds.warn.value else Verdict.ACCEPT

    def normalise(self, score: float) -> float:
        """A raw score as 0..1, where 0.5 is the reject threshold."""
        low, high = self.score_range
        return min(max(0.5 + (score - self.thresholds.image.value) / (high - low), 0.0), 1.0)
