"""How well scores rank anomalous above normal: AUROC, average precision, F1, F1-max, ROC.

Everything is exact: all thresholds, ties counted as ties, counts in integers. Only the anomalous scores are looked up
among the sorted normal ones, so that ten million pixels take about a second and a few copies of the scores in memory.

Labels are bool (or 0 and 1), scores are real numbers, both of any one shape; higher is more anomalous. A score that
is not a number, or shapes that differ, raise DataError. Where only one label is present nothing can be ranked: the
answer is NaN. An AUROC below 0.5 stays what it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgead.errors import DataError

Scores = NDArray[np.floating[Any]]


def centred_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """float64 [N]: the rank of each value less the mean of all; equal values share the mean of theirs."""
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    centred: NDArray[np.float64] = ranks - ranks.mean()
    return centred


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, 0..1: how often an anomalous score is higher than a normal one; ties count half."""
    normal, anomalous = _split(labels, scores)
    if not normal.size or not anomalous.size:
        return float("nan")
    lower = int(np.searchsorted(normal, anomalous, "left").sum(dtype=np.int64))
    not_higher = int(np.searchsorted(normal, anomalous, "right").sum(dtype=np.int64))
    return (lower + not_higher) / (2 * normal.size * anomalous.size)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, 0..1: the precision at each threshold, weighted by the recall that it adds."""
    normal, anomalous = _split(labels, scores)
    if not normal.size or not anomalous.size:
        return float("nan")
    _, hits, alarms = _counts(normal, anomalous)
    return float(np.sum(np.diff(hits, prepend=0) * (hits / (hits + alarms))) / anomalous.size)


def f1_max(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """The highest F1 of any threshold, 0..1, and that threshold: `score >= threshold` is called anomalous.

    The threshold is the lowest anomalous score called so; of equal F1, the lowest threshold, which misses fewer.
    """
    normal, anomalous = _split(labels, scores)
    if not normal.size or not anomalous.size:
        return float("nan"), float("nan")
    thresholds, hits, alarms = _counts(normal, anomalous)
    f1 = 2 * hits / (anomalous.size + hits + alarms)
    best = f1.size - 1 - int(np.argmax(f1[::-1]))  # thresholds fall
    return float(f1[best]), float(thresholds[best])


def f1_at(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """F1 where `score >= threshold` is called anomalous, 0..1; 0 where nothing is hit. It counts no normal score that
    is called normal, so it is NaN only where there is no anomalous one."""
    normal, anomalous = _split(labels, scores)
    if not anomalous.size:
        return float("nan")
    hits = anomalous.size - int(np.searchsorted(anomalous, threshold, "left"))
    alarms = normal.size - int(np.searchsorted(normal, threshold, "left"))
    return 2 * hits / (anomalous.size + hits + alarms)


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], Scores]:
    """(false positive rate, true positive rate, threshold) at every distinct score, from (0, 0, inf) to (1, 1, lowest
    score).

    A rate of which there are no examples is NaN throughout.
    """
    normal, anomalous = _split(labels, scores)
    thresholds = np.unique(np.concatenate([normal, anomalous]))[::-1]
    rates = []
    for values in (normal, anomalous):
        reached = values.size - np.searchsorted(values, thresholds, "left")
        with np.errstate(invalid="ignore"):
            rates.append(np.concatenate([[0], reached]) / np.float64(values.size))
    return rates[0], rates[1], np.concatenate([[np.inf], thresholds]).astype(thresholds.dtype)


def _split(labels: ArrayLike, scores: ArrayLike) -> tuple[Scores, Scores]:
    """The (normal, anomalous) scores, each sorted upwards. Raises DataError for what cannot be ranked."""
    truth, values = np.asarray(labels), np.asarray(scores)
    if truth.shape != values.shape:
        raise DataError(f"{truth.shape} labels for {values.shape} scores", "metrics", "give one label for each score")
    if truth.dtype != np.bool_:
        if truth.size and not np.isin(truth, (0, 1)).all():
            raise DataError("labels other than 0 and 1", "metrics", "give 1 for anomalous and 0 for normal")
        truth = truth.astype(np.bool_)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32 if values.dtype == np.float16 else np.float64)
    if np.isnan(values).any():
        raise DataError("a score is not a number", "metrics", "check the model that gave it")
    return np.sort(values[~truth]), np.sort(values[truth])


def _counts(normal: Scores, anomalous: Scores) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
    """Each distinct anomalous score, falling, and how many anomalous and how many normal scores are at least that
    high.

    Precision and F1 between two of them are lower than at the upper one, so no other threshold has to be looked at.
    """
    thresholds, first = np.unique(anomalous, return_index=True)
    hits = anomalous.size - first
    alarms = normal.size - np.searchsorted(normal, thresholds, "left")
    return thresholds[::-1], hits[::-1].astype(np.int64), alarms[::-1].astype(np.int64)
