"""How far answers are apart, against explicit sums, block means and SciPy's ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from edgead.evaluation.difference import largest_difference, map_error, pyramid_errors, rank_correlation

scores = st.integers(2, 30).flatmap(
    lambda n: st.tuples(*[arrays(np.float32, n, elements=st.integers(-6, 6).map(float))] * 2)
)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_definition(reference, other):
    """sqrt(sum of squares / count) / standard deviation, in float64, by Python's sums."""
    ours, theirs = reference.astype(float).ravel(), other.astype(float).ravel()
    mean = sum(ours) / len(ours)
    spread = sum((value - mean) ** 2 for value in ours) / len(ours)
    return (sum((b - a) ** 2 for a, b in zip(ours, theirs, strict=True)) / len(ours) / spread) ** 0.5


def block_means(maps, level):
    """Means of 2^level x 2^level pixels, taken two by two, so that an odd end is left out at each level."""
    maps = maps.astype(np.float64)
    for _ in range(level):
        height, width = maps.shape[1] // 2, maps.shape[2] // 2
        blocks = maps[:, : 2 * height, : 2 * width].reshape(len(maps), height, 2, width, 2)
        maps = blocks.mean(axis=(2, 4))
    return maps


def test_the_error_is_the_share_of_the_spread_that_is_lost():
    reference, other = noise(3, 7, 5), noise(3, 7, 5, seed=1)
    assert map_error(reference, other) == pytest.approx(by_definition(reference, other), rel=1e-6)
    assert map_error(reference, reference) == 0
    constant = np.full_like(reference, reference.mean())
    assert map_error(reference, constant) == pytest.approx(1, rel=1e-6)
    assert map_error(10 * reference - 3, 10 * other - 3) == pytest.approx(map_error(reference, other), rel=1e-5)


def test_maps_without_spread_are_measured_by_their_value_and_nothing_by_next_to_nothing():
    flat = np.full((2, 4, 4), 4, np.float32)
    assert map_error(flat, flat + 1) == pytest.approx(0.25)
    zeros = np.zeros_like(flat)
    assert map_error(zeros, zeros) == 0 and np.isfinite(map_error(zeros, flat)) and map_error(zeros, flat) > 1e6


@pytest.mark.parametrize("shape", [(2, 16, 16), (3, 33, 20), (1, 7, 90)])
def test_each_level_is_that_of_block_means(shape):
    reference = noise(*shape) + np.linspace(0, 3, shape[2], dtype=np.float32)
    other = reference + 0.1 * noise(*shape, seed=1)
    found = pyramid_errors(reference, other)
    assert len(found) == int(np.log2(min(shape[1:])))
    expected = [by_definition(block_means(reference, k), block_means(other, k)) for k in range(len(found))]
    assert found == pytest.approx(expected, rel=1e-4)
    assert found[0] == map_error(reference, other)


def test_noise_halves_from_level_to_level_and_a_region_that_is_off_stays():
    smooth = np.tile(np.sin(np.linspace(0, 2 * np.pi, 64, dtype=np.float32)), (8, 64, 1))
    noisy = np.array(pyramid_errors(smooth, smooth + 0.1 * noise(8, 64, 64)))
    assert noisy[1:4] / noisy[:3] == pytest.approx(0.5, abs=0.05)
    off = smooth.copy()
    off[:, :, 32:] += 0.1
    shifted = np.array(pyramid_errors(smooth, off))
    assert shifted[:4] == pytest.approx(shifted[0], rel=0.1)


def test_a_map_of_a_single_row_has_no_pyramid():
    assert pyramid_errors(noise(2, 1, 9), noise(2, 1, 9)) == ()


def test_the_largest_difference_is_a_share_of_the_largest_value():
    reference = np.array([-4, 1, 2], np.float32)
    assert largest_difference(reference, np.array([-4, 2, 2.5], np.float32)) == pytest.approx(0.25)
    assert largest_difference(reference, reference) == 0


@given(scores)
def test_the_rank_correlation_is_spearmans_also_with_equal_scores(pair):
    reference, other = pair
    found = rank_correlation(reference, other)
    if np.ptp(reference) and np.ptp(other):
        assert found == pytest.approx(spearmanr(reference, other).statistic, abs=1e-9)
    else:
        assert found == (0.0 if np.ptp(reference) else 1.0)


@given(scores)
def test_only_the_order_counts(pair):
    reference, other = pair
    assert rank_correlation(reference, np.exp(other)) == pytest.approx(rank_correlation(reference, other), abs=1e-9)
    assert rank_correlation(reference, reference) == pytest.approx(1)
