"""The threshold of least squared error: against samples rounded one by one, and against known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from edgead.calibration.mse import best_threshold, squared_error

WITHIN = 64  # samples for each value counted, spread over its bin


def rounded(values, threshold):
    """Symmetric int8, as ONNX defines QuantizeLinear, without the code -128."""
    scale = threshold / 127
    return np.clip(np.round(values / scale), -127, 127) * scale


def brute_force(counts, largest, threshold):
    """The mean squared error of samples."""
    width = largest / len(counts)
    places = (np.arange(len(counts))[:, None] + (np.arange(WITHIN) + 0.5) / WITHIN) * width
    errors = np.square(places - rounded(places, threshold)).mean(axis=1)
    return float(counts @ errors / counts.sum())


histograms = st.lists(st.integers(0, 1000), min_size=64, max_size=256).filter(any).map(np.array)


@given(histograms, st.floats(1e-3, 1e3), st.floats(0.2, 1))
def test_the_error_is_that_of_samples_rounded_one_by_one(counts, largest, share):
    threshold = share * largest
    expected = brute_force(counts, largest, threshold)
    assert squared_error(counts, largest, threshold) == pytest.approx(expected, rel=0.02)


@given(histograms, st.floats(1e-3, 1e3))
def test_no_other_threshold_is_better(counts, largest):
    found = best_threshold(counts, largest)
    assert 0 < found <= largest
    least = min(squared_error(counts, largest, threshold) for threshold in np.linspace(0.15, 1, 400) * largest)
    assert brute_force(counts, largest, found) <= least * 1.03
    assert squared_error(counts, largest, found) <= squared_error(counts, largest, largest)


def least_of(density, far):
    """The threshold that minimises the integral of the squared error over a density of |x|, by quadrature."""

    def error(threshold):
        step = threshold / 127
        # Fine steps: rounding costs step^2 / 12 wherever the density hardly changes within one.
        inside = step**2 / 12 * quad(density, 0, threshold)[0]
        return inside + quad(lambda x: (x - threshold) ** 2 * density(x), threshold, far, epsabs=1e-14)[0]

    return minimize_scalar(error, bounds=(1, far / 2), method="bounded").x


@pytest.mark.parametrize(
    ("density", "far", "known"),
    [(lambda x: np.exp(-x), 60, 9.89), (lambda x: np.sqrt(2 / np.pi) * np.exp(-(x**2) / 2), 12, 3.92)],
    ids=["laplace", "gauss"],
)
def test_known_distributions_are_clipped_where_aciq_clips_them(density, far, known):
    """`known`: Banner et al. 2019 for 8 bits, in scales of a Laplace distribution and deviations of a Gaussian."""
    edges = np.linspace(0, 20, 2049)
    counts = np.round(1e9 * density((edges[1:] + edges[:-1]) / 2)).astype(np.int64)
    found = best_threshold(counts, 20.0)
    assert found == pytest.approx(least_of(density, far), rel=0.01)
    assert found == pytest.approx(known, rel=0.015)


def test_one_outlier_among_many_is_clipped_and_a_crowd_of_them_is_not():
    counts = np.zeros(2048, np.int64)
    counts[:200] = 10**6
    counts[-1] = 1
    assert best_threshold(counts, 1.0) < 0.2
    counts[-1] = 10**7
    assert best_threshold(counts, 1.0) > 0.99


def test_where_nothing_was_counted_all_is_kept():
    assert best_threshold(np.zeros(2048, np.int64), 3.0) == 3.0
    assert best_threshold(np.zeros(2048, np.int64), 0.0) == 0.0
