"""Thresholds: what rate they keep on parts that they have not seen, and how they say where they come from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from edgead.errors import BundleError, DataError
from edgead.evaluation.tail import Tail, fit_tail
from edgead.evaluation.thresholds import Thresholds, fit_thresholds, from_f1_max, from_quantile, from_tail

scores = hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(0, 1e3, width=32))


@given(st.floats(-0.4, 0.45).filter(lambda shape: abs(shape) > 1e-6), st.floats(0.1, 10), st.floats(1e-4, 0.19))
def test_quantiles_of_the_tail_are_scipys(shape, scale, rate):
    tail = Tail(location=2.0, scale=scale, shape=shape, share=0.2, exceedances=100)
    expected = 2.0 + stats.genpareto.isf(rate / 0.2, shape, scale=scale)
    assert tail.quantile(rate) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_the_fit_finds_the_tail_of_many_scores(shape):
    sample = stats.genpareto.rvs(shape, size=200_000, random_state=1)
    tail = fit_tail(sample)
    assert tail.shape == pytest.approx(shape, abs=0.03)
    assert tail.quantile(1e-3) == pytest.approx(stats.genpareto.isf(1e-3, shape), rel=0.05)


@pytest.mark.parametrize(
    "distribution", [stats.gamma(4), stats.lognorm(0.4), stats.norm(5, 1)], ids=["gamma", "lognormal", "normal"]
)
def test_the_tail_keeps_its_rate_on_parts_that_it_has_not_seen(distribution):
    """200 fits to 100 good parts each: what they let through of new good parts is near the rate asked for."""
    rates = []
    for seed in range(200):
        threshold = from_tail(distribution.rvs(100, random_state=seed).astype(np.float32), 0.005)
        rates.append(distribution.sf(threshold.value))
    assert 0.001 < np.mean(rates) < 0.012


@given(scores, st.sampled_from(["tail", "quantile"]))
def test_thresholds_are_finite_ordered_and_come_back_from_json(values, method):
    fitted = fit_thresholds(values, values, method=method)
    assert np.isfinite([fitted.image.value, fitted.warn.value, fitted.pixel.value]).all()
    assert fitted.warn.value <= fitted.image.value
    assert Thresholds.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    for threshold in (fitted.image, fitted.warn, fitted.pixel):
        assert threshold.value == np.float32(threshold.value)
        assert "good images" in threshold.describe()


@given(scores)
def test_few_good_parts_are_all_accepted(values):
    """Where no score is as rare as the rate, the threshold lies above everything seen."""
    fitted = from_quantile(values, 0.998)
    if values.size < 500:
        assert not (values >= np.float32(fitted.value)).any()
        assert fitted.method == "quantile+margin"


def test_the_quantile_is_numpys():
    values = np.random.default_rng(0).random(5000)
    assert from_quantile(values, 0.99).value == pytest.approx(np.quantile(values, 0.99), rel=1e-6)


def test_the_method_says_when_no_tail_was_fitted():
    assert from_tail(np.arange(200.0), 0.005).method == "tail"
    for few in (np.arange(20.0), np.ones(500)):
        threshold = from_tail(few, 0.005)
        assert threshold.method != "tail"
        assert "no tail fitted" in threshold.describe()


def test_f1_lies_between_separated_parts():
    threshold = from_f1_max([False, False, True, True], [0.1, 0.2, 0.8, 0.9])
    assert threshold.value == pytest.approx(0.5)
    assert "labelled" in threshold.describe()


def test_labelled_defects_give_the_reject_threshold_when_asked():
    fitted = fit_thresholds([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], method="f1", anomalous_scores=[0.7, 0.9])
    assert fitted.image.value == pytest.approx(0.5)
    assert fitted.image.method == "f1"
    with pytest.raises(DataError, match="needs scores of bad parts"):
        fit_thresholds([0.1], [0.1], method="f1")


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, 1.0]])
def test_scores_that_cannot_be_are_refused(values):
    with pytest.raises(DataError):
        fit_thresholds(values, [1.0])


def test_an_unknown_method_is_refused():
    with pytest.raises(DataError, match="no threshold method"):
        fit_thresholds([1.0], [1.0], method="guess")


@pytest.mark.parametrize(
    "change",
    [
        {"image": {"value": float("nan"), "method": "tail", "detail": {}}},
        {"image": {"value": "1", "method": "tail", "detail": {}}},
        {"image": {"value": 1.0, "method": "tail"}},
        {"image": {"value": -5.0, "method": "tail", "detail": {}}},
        {"other": {}},
    ],
)
def test_damaged_thresholds_are_refused(change):
    document = fit_thresholds([0.1, 0.2], [0.1, 0.2]).to_json() | change
    with pytest.raises(BundleError):
        Thresholds.from_json(document)
