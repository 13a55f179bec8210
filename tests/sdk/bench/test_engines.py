"""Turns of engines: who runs when, what counts, and the figures that come of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgead.bench.engines import SLICE, pictures, take_turns, warm_up


def runs(record):
    """(name, batch, calls in a row) of a record."""
    calls = [(name, len(image)) for name, image in record]
    return [(*call, len(list(group))) for call, group in itertools.groupby(calls)]


def test_percentiles_and_rates_of_known_times(sleeper):
    timed = sleeper([1])
    timed.milliseconds[4] = [[float(value) for value in range(51)], [float(value) for value in range(51, 101)]]
    assert [timed.percentile(percent, 4) for percent in (0, 50, 95, 99, 100)] == [0, 50, 95, 99, 100]
    assert timed.percentile(99.5, 4) == pytest.approx(99.5)
    assert timed.rate(4) == pytest.approx(4 * 101 / 5.050)


def test_only_the_calls_of_a_turn_count_not_the_one_before(clock, sleeper):
    late_first = [500.0] + [2.0] * SLICE
    timed = sleeper(late_first)
    take_turns([timed], frames=3 * SLICE, rounds=2, clock=clock)
    assert timed.calls() == pytest.approx([2.0] * 6 * SLICE)
    assert [len(turn) for turn in timed.milliseconds[1]] == [3 * SLICE] * 2


def test_engines_take_turns_in_both_orders(clock, sleeper):
    record = []
    engines = [sleeper([1], record=record, name=name) for name in "abc"]
    take_turns(engines, frames=3 * SLICE, rounds=1, clock=clock)
    names = [name for name, _ in record]
    assert "".join(names[:: SLICE + 1]) == "abc" + "cba" + "abc"
    for begin in range(0, len(names), SLICE + 1):
        assert len(set(names[begin : begin + SLICE + 1])) == 1


def test_a_slow_moment_meets_all_engines(clock, sleeper):
    """A machine that becomes slower and slower leaves the ratio of two engines as it is."""
    paces = iter([1.01**call for call in range(1000)])
    engines = [sleeper([1], name="a"), sleeper([1], name="b")]
    engines[0].engine._next = (1.0 * pace for pace in paces)
    engines[1].engine._next = (3.0 * pace for pace in paces)
    take_turns(engines, frames=4 * SLICE, rounds=2, clock=clock)
    assert engines[1].ratios(engines[0]) == pytest.approx([3.0, 3.0], rel=0.1)
    assert engines[1].percentile(50) / engines[1].milliseconds[1][0][0] > 1.5  # it did become slower


def test_every_batch_is_measured_for_about_as_many_images(clock, sleeper):
    record = []
    small = sleeper([1], batches=(1,), record=record, name="small")
    large = sleeper([8], batches=(1, 2, 8), record=record, name="large")
    take_turns([small, large], frames=40, rounds=1, clock=clock)
    assert {batch: len(large.calls(batch)) for batch in large.milliseconds} == {1: 40, 2: 20, 8: SLICE}
    assert large.rate(8) == pytest.approx(1000) and large.rate(1) == pytest.approx(125)
    assert list(small.milliseconds) == [1]
    assert all(batch == 1 for name, batch, _ in runs(record) if name == "small")


def test_all_engines_see_the_same_images(clock, sleeper):
    record = []
    take_turns([sleeper([1], record=record, name=name, batches=(1, 4)) for name in "ab"], frames=10, clock=clock)
    first = {name: {len(image): image for other, image in record if other == name} for name in "ab"}
    assert np.array_equal(first["a"][4], first["b"][4]) and np.array_equal(first["a"][1], first["b"][1])
    assert np.array_equal(first["a"][4][:1], first["a"][1])
    assert all(np.array_equal(image, first[name][len(image)]) for name, image in record)
    assert pictures(2, (64, 64)).std() == pytest.approx(256 / 12**0.5, rel=0.02)  # uniform


def test_a_warm_up_runs_every_batch_and_counts_nothing(sleeper):
    timed = sleeper([1], batches=(1, 8))
    warm_up(timed)
    assert runs(timed.engine.record) == [("sleeper", 1, SLICE), ("sleeper", 8, 2)]
    assert timed.milliseconds == {}


def test_progress_reaches_its_end(clock, sleeper):
    told = []
    take_turns(
        [sleeper([1], batches=(1, 2))], frames=10, rounds=3, clock=clock, progress=lambda *said: told.append(said)
    )
    assert told == [("measuring engines", done, 6) for done in range(7)]
