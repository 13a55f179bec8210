"""Ranking metrics against scikit-learn, and F1-max against a loop over every threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from edgead.errors import DataError
from edgead.evaluation.ranking import auroc, average_precision, f1_at, f1_max, roc_curve

# Few distinct scores, so that ties are the rule.
labelled = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def split(rows):
    return np.array([label for label, _ in rows]), np.array([score for _, score in rows], np.float32)


@given(labelled)
def test_auroc_is_scikit_learns(rows):
    labels, scores = split(rows)
    assert auroc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)


@given(labelled)
def test_average_precision_is_scikit_learns(rows):
    labels, scores = split(rows)
    assert average_precision(labels, scores) == pytest.approx(
        metrics.average_precision_score(labels, scores), abs=1e-12
    )


@given(labelled)
def test_f1_max_is_the_best_of_all_thresholds(rows):
    labels, scores = split(rows)
    best, threshold = f1_max(labels, scores)
    every = [metrics.f1_score(labels, scores >= candidate, zero_division=0.0) for candidate in np.unique(scores)]
    assert best == pytest.approx(max(every), abs=1e-12)
    assert metrics.f1_score(labels, scores >= threshold) == pytest.approx(best, abs=1e-12)


@given(labelled, st.sampled_from([-3, -0.5, 0, 0.5, 1, 3, 4]))
def test_f1_at_a_threshold_is_scikit_learns(rows, threshold):
    labels, scores = split(rows)
    expected = metrics.f1_score(labels, scores >= threshold, zero_division=0.0)
    assert f1_at(labels, scores, threshold) == pytest.approx(expected, abs=1e-12)


def test_f1_without_anomalous_scores_is_not_a_number():
    assert math.isnan(f1_at([False, False], [0.1, 0.9], 0.5))
    assert f1_at([True, True], [0.1, 0.9], 0.5) == pytest.approx(2 / 3)


@given(labelled)
def test_the_roc_curve_is_scikit_learns(rows):
    labels, scores = split(rows)
    rates = np.stack(roc_curve(labels, scores)[:2], axis=1)
    expected = np.stack(metrics.roc_curve(labels, scores, drop_intermediate=False)[:2], axis=1)
    np.testing.assert_allclose(rates, expected, atol=1e-12)


@given(labelled)
def test_auroc_is_never_flipped(rows):
    labels, scores = split(rows)
    assert auroc(labels, scores) + auroc(labels, -scores) == pytest.approx(1)


def test_a_large_set_of_pixels_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    labels = random.random(400_000) < 0.01
    scores = (random.normal(size=labels.size) + labels).astype(np.float32)
    assert auroc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-9)
    assert average_precision(labels, scores) == pytest.approx(metrics.average_precision_score(labels, scores), abs=1e-9)


@pytest.mark.parametrize("labels", [[True, True], [False, False]])
def test_one_label_alone_cannot_be_ranked(labels):
    assert math.isnan(auroc(labels, [0.1, 0.2]))
    assert math.isnan(f1_max(labels, [0.1, 0.2])[0])


@pytest.mark.parametrize("metric", [auroc, average_precision, f1_max, roc_curve])
def test_scores_that_are_not_numbers_are_refused(metric):
    with pytest.raises(DataError, match="not a number"):
        metric([True, False], [np.nan, 0.0])
