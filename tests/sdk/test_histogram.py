from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.histogram import Histogram

durations = st.lists(st.floats(min_value=1e-3, max_value=3.6e6), min_size=1, max_size=200)


def fill(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(durations, st.sampled_from([0, 25, 50, 95, 99, 100]))
def test_percentiles_agree_with_numpy_within_the_bucket(values: list[float], percent: float) -> None:
    expected = float(np.percentile(values, percent, method="inverted_cdf"))
    assert fill(values).percentile(percent) == pytest.approx(expected, rel=0.0222)


@given(durations)
def test_count_total_and_range_are_exact(values: list[float]) -> None:
    histogram = fill(values)
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(sum(values))
    assert (histogram.smallest, histogram.largest) == (min(values), max(values))


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e12])
def test_values_outside_the_buckets_are_counted_and_reported_as_they_are(value: float) -> None:
    assert fill([value]).percentile(50) == value


def test_an_empty_histogram_answers_zero() -> None:
    assert Histogram().percentile(99) == 0.0


def test_memory_does_not_grow() -> None:
    histogram = fill([0.5])
    before = sys.getsizeof(histogram._buckets)
    for number in range(50_000):
        histogram.add(number * 0.37)
    assert sys.getsizeof(histogram._buckets) == before
    assert histogram.percentile(50) == pytest.approx(25_000 * 0.37, rel=0.0222)
