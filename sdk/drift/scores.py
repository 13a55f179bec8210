"""Whether good parts still score as they did at export."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from edgead.drift.change import Change
from edgead.drift.reference import Reference
from edgead.evaluation.ranking import centred_ranks
from edgead.frame import Frame
from edgead.result import Result, Verdict

WINDOW = 500
FALSE_ALARMS = 1e-4  # per window
FEWEST = 30  # independent frames, below which a window says nothing
CALM = 0.01  # probability from which on the scores are themselves again


class Scores:
    """Compares how many of the last `window` good frames score above each level of a reference.

    A frame is good unless the detector rejects it. Of good scores of the same distribution, the number above a level
    is beta-binomial: the level's share is itself known from the reference's scores alone (uniform prior of Jeffreys,
    half a score on either side). Its two tails at every level are each given an equal part of `false_alarms`, so that
    a window of unchanged scores gives a warning with that probability at most. Windows do not overlap: at 10 frames a
    second a false alarm comes once in 6 days with the defaults.

    Frames of a line resemble each other, and 500 of them say less than 500 parts. They count as n / tau, tau = 1 + 2
    sum of the autocorrelations until the first below 0.05 (Geyer 1992), and where that is less than 30, as while a part
    rests, the window says nothing.

    A change is said once, and again only after a window as it should be. Its value and usual: the share of scores above
    the level that is off the most, now and at export.
    """

    def __init__(
        self, reference: Reference | None, *, window: int = WINDOW, false_alarms: float = FALSE_ALARMS
    ) -> None:
        levels = len(reference.levels) if reference else 1
        if window < 10 or not 0 < false_alarms < CALM * 10 or not levels:
            raise ValueError(f"a window of {window} and {false_alarms} false alarms with {levels} levels")
        self.reference: Reference | None = reference
        self._window, self._false_alarms = window, false_alarms
        self._scores: list[float] = []
        self._changed = False

    def compare_with(self, reference: Reference | None) -> None:
        """Begin again with the scores of another detector, from the next frame on; None: say nothing of them."""
        if reference != self.reference:
            self.reference, self._scores, self._changed = reference, [], False

    def observe(self, frame: Frame, result: Result) -> Sequence[Change]:
        """One more frame -> whether the scores have changed with it."""
        if self.reference is None:
            return []
        if result.verdict is not Verdict.REJECT:
            self._scores.append(result.raw_score)
        if len(self._scores) < self._window:
            return []
        scores, self._scores = self._scores, []
        if len(scores) < FEWEST * correlation_time(scores):
            return []
        probability, score, now, usual = least_probable(scores, self.reference)
        if self._changed:
            self._changed = probability < CALM
            return []
        if probability >= self._false_alarms:
            return []
        self._changed = True
        text = (
            f"the scores changed: {now:.0%} of the last {len(scores)} good frames are above {score:.4g}, "
            f"where {usual:.0%} of {self.reference.scores} good images were at export"
        )
        return [Change("scores", text, now, usual, frame.frame_id, frame.source, frame.captured_at)]


def least_probable(scores: Sequence[float], reference: Reference) -> tuple[float, float, float, float]:
    """The probability of what is least probable about some scores, times the number of questions asked; its level, and
    the share of scores above it, now and in the reference."""
    values = np.asarray(scores, np.float64)
    weight = max(1, round(len(values) / correlation_time(values)))
    found = []
    for level in reference.levels:
        share = float((values > level.score).mean())
        tails = beta_binomial(weight, level.above + 0.5, reference.scores - level.above + 0.5)
        count = share * weight
        # Between two counts the one nearer to the middle, so that rounding makes nothing less probable
        fewer, more = float(tails[: math.ceil(count - 1e-9) + 1].sum()), float(tails[math.floor(count + 1e-9) :].sum())
        usual = level.above / reference.scores
        found.append((min(1.0, 2 * len(reference.levels) * min(fewer, more)), level.score, share, usual))
    return min(found)


def correlation_time(values: ArrayLike) -> float:
    """How many frames say together what one independent frame would: 1 or more, all of them where all are equal."""
    series = centred_ranks(values)  # equal values share a rank: their order is none of time
    power = float(series @ series)
    if not power:
        return float(series.size)
    time = 1.0
    for lag in range(1, series.size // 2):
        correlation = float(series[:-lag] @ series[lag:]) / power
        if correlation < 0.05:
            break
        time += 2 * correlation
    return time


def beta_binomial(n: int, a: float, b: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The probabilities of 0..n successes out of n, where the chance of one is Beta(a, b): float64 [n + 1]."""
    log = math.lgamma
    constant = log(n + 1) + log(a + b) - log(a) - log(b) - log(n + a + b)
    return np.exp([constant + log(k + a) + log(n - k + b) - log(k + 1) - log(n - k + 1) for k in range(n + 1)])
