"""Orders of calibration images, held against their definitions: counts by class, and distances by brute force."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgead.calibration.selection import in_turns, k_centres, shuffled
from edgead.data.samples import GOOD, Sample

CLASSES = st.lists(st.sampled_from("abcd"), min_size=1, max_size=30)
POINTS = hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 3)), elements=st.integers(-5, 5))


def samples_of(classes):
    return [Sample(Path(f"{n}.png"), f"{kind}/{n}.png", kind, GOOD) for n, kind in enumerate(classes)]


@given(CLASSES, st.integers(0, 5))
def test_the_draw_ignores_the_order_and_loses_nothing(classes, seed):
    samples = samples_of(classes)
    drawn = shuffled(samples, seed)
    assert drawn == shuffled(samples[::-1], seed)
    assert Counter(drawn) == Counter(samples)


def test_seeds_give_different_draws():
    samples = samples_of("a" * 20)
    assert len({tuple(shuffled(samples, seed)) for seed in range(8)}) == 8


@given(CLASSES, st.data())
def test_every_class_has_an_equal_share_or_all_that_it_has(classes, data):
    samples = samples_of(classes)
    size = data.draw(st.integers(1, len(samples)))
    taken = Counter(sample.category for sample in in_turns(samples)[:size])
    most = max(taken.values())
    for kind, there in Counter(classes).items():
        assert taken[kind] >= min(there, most - 1)
    assert sum(taken.values()) == size


@given(CLASSES)
def test_turns_keep_the_order_within_a_class(classes):
    samples = samples_of(classes)
    for kind in set(classes):
        assert [s for s in in_turns(samples) if s.category == kind] == [s for s in samples if s.category == kind]


@given(POINTS)
def test_each_centre_is_the_farthest_from_those_before(points):
    order = list(k_centres(points))
    assert sorted(order) == list(range(len(points)))
    middle = points.mean(axis=0)
    to_middle = [np.linalg.norm(point - middle) for point in points]
    assert to_middle[order[0]] == pytest.approx(min(to_middle), abs=1e-9)
    for count in range(1, len(points)):
        gaps = {
            row: min(np.linalg.norm(points[row] - points[taken]) for taken in order[:count])
            for row in order[count:]
        }  # fmt: skip
        assert gaps[order[count]] == pytest.approx(max(gaps.values()), abs=1e-9)


@given(POINTS, st.data())
def test_what_remains_is_within_twice_the_least(points, data):
    count = data.draw(st.integers(1, min(4, len(points))))

    def reach(centres):
        return max(min(np.linalg.norm(point - points[centre]) for centre in centres) for point in points)

    least = min(map(reach, itertools.combinations(range(len(points)), count)))
    assert reach(list(itertools.islice(k_centres(points), count))) <= 2 * least + 1e-9


def test_copies_come_last():
    points = np.array([[0.0], [0.0], [3.0], [3.0], [9.0]])
    assert {points[row, 0] for row in itertools.islice(k_centres(points), 3)} == {0.0, 3.0, 9.0}


def test_of_nothing_nothing_is_taken():
    assert list(k_centres(np.zeros((0, 3)))) == []
