"""The tail of a distribution, beyond what was observed: peaks over a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BULK = 0.8  # share of the scores below the tail
FEWEST = 10  # exceedances; a fit of fewer says nothing
PRIOR = 20  # exceedances that the exponential tail counts for
STEEPEST = 0.5  # shape; with a heavier tail the variance is infinite, a sign of bad parts among the good ones


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto distribution of what exceeds `location`, and the share of all scores that do.

    location, scale: in the unit of the scores. shape: xi; 0 is the exponential tail, a tail below 0 has an end.
    exceedances: how many scores it was fitted to.
    """

    location: float
    scale: float
    shape: float
    share: float
    exceedances: int

    def quantile(self, rate: float) -> float:
        """The value that a share `rate` of all scores exceeds; 0 < rate <= share."""
        depth = math.log(self.share / rate)
        if abs(self.shape) < 1e-9:
            return self.location + self.scale * depth
        return self.location + self.scale / self.shape * math.expm1(self.shape * depth)


def fit_tail(scores: NDArray[np.float64]) -> Tail | None:
    """Fit the upper 20 % of `scores` [N] by probability-weighted moments (Hosking & Wallis, Technometrics 1987,
    section 4).

    The shape that they give is uncertain where scores are few, and then lets through several times the false rejects
    asked for; so it is drawn towards the exponential tail, as 20 more exceedances of that kind would. A tail that
    would end below the highest score is made to end there (Dupuis & Tsay, 1998). None where fewer than 10 scores
    exceed the 80 % quantile, or where all that do are equal.
    """
    location = float(np.quantile(scores, BULK))
    excess = np.sort(scores[scores > location]) - location
    count = excess.size
    if count < FEWEST or not excess[-1] > excess[0]:
        return None
    not_above = (np.arange(1, count + 1) - 0.35) / count  # the paper's plotting positions
    mean, weighted = float(excess.mean()), float(np.mean((1 - not_above) * excess))
    shape = 2 - mean / (mean - 2 * weighted)  # 2 * weighted < mean, as the weights fall while the excess grows
    shape = min(shape * count / (count + PRIOR), STEEPEST)
    scale = mean * (1 - shape)  # the mean of the distribution is the mean of the exceedances
    if scale + shape * excess[-1] < 0:
        shape = -scale / float(excess[-1])
    return Tail(location, scale, shape, count / scores.size, count)
