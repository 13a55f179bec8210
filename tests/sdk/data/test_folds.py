"""Folds: each image tested once, as many of each kind in each, whatever the order of files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.data.folds import draw, stratified_folds
from edgead.data.samples import Sample, by_name
from edgead.errors import DataError


def samples_of(counts):
    names = [(defect, f"part/{defect}/{index}.png") for defect, count in counts.items() for index in range(count)]
    return by_name(Sample(Path("/data") / name, name, "part", defect) for defect, name in names)


pools = st.builds(
    lambda good, dent, rust: samples_of({"good": good, "dent": dent, "rust": rust}),
    st.integers(6, 40),
    st.integers(6, 20),
    st.integers(0, 9),
)


def within_one(counts):
    return max(counts) - min(counts) <= 1


@given(pools, st.integers(2, 6), st.integers(0, 9), st.randoms())
def test_folds_are_whole_balanced_and_blind_to_order(samples, count, seed, shuffler):
    folds = stratified_folds(samples, count, seed)
    assert len(folds) == count
    assert Counter(sample for _, test in folds for sample in test) == Counter(samples)
    for train, test in folds:
        assert not set(train) & set(test) and set(train) | set(test) == set(samples)
        assert train == by_name(train) and test == by_name(test)
    assert within_one([len(test) for _, test in folds])
    for kind in (
        lambda s: s.anomalous,
        lambda s: not s.anomalous,
        lambda s: s.defect == "dent",
        lambda s: s.defect == "rust",
    ):
        assert within_one([sum(map(kind, test)) for _, test in folds])
    assert stratified_folds(shuffler.sample(samples, len(samples)), count, seed) == folds


@given(pools, st.integers(0, 12), st.integers(0, 12), st.integers(0, 9), st.randoms())
def test_a_draw_has_the_counts_and_grows(samples, good, bad, seed, shuffler):
    drawn = draw(samples, good, bad, seed)
    there = Counter(sample.anomalous for sample in samples)
    assert Counter(sample.anomalous for sample in drawn) == Counter(
        {False: min(good, there[False]), True: min(bad, there[True])}
    )
    assert set(drawn) <= set(draw(samples, good + 2, bad + 1, seed)) and drawn == by_name(drawn)
    assert draw(shuffler.sample(samples, len(samples)), good, bad, seed) == drawn
    assert draw(samples, None, None, seed) == samples


def test_seeds_deal_and_draw_differently():
    samples = samples_of({"good": 30, "dent": 10})
    assert len({stratified_folds(samples, 5, seed) for seed in range(5)}) == 5
    assert len({draw(samples, 10, 5, seed) for seed in range(5)}) == 5


@pytest.mark.parametrize(("good", "bad", "folds"), [(4, 9, 5), (9, 4, 5), (9, 9, 1), (9, 0, 2)])
def test_what_cannot_be_dealt_is_refused(good, bad, folds):
    with pytest.raises(DataError, match="folds"):
        stratified_folds(samples_of({"good": good, "dent": bad}), folds, 0)
