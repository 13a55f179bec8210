"""Smaller data sets: balanced, seeded, and blind to the order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.data.samples import Dataset, Sample, by_name
from edgead.data.split import subset
from edgead.errors import DataError


def dataset_of(train: dict[str, int], test: dict[tuple[str, str], int]) -> Dataset:
    def make(part: str, category: str, defect: str, count: int) -> list[Sample]:
        names = [f"{category}/{part}/{defect}/{i}.png" for i in range(count)]
        return [Sample(Path("/data") / name, name, category, defect) for name in names]

    known = [sample for category, count in train.items() for sample in make("train", category, "good", count)]
    judged = [sample for (category, defect), count in test.items() for sample in make("test", category, defect, count)]
    return Dataset(Path("/data"), tuple(sorted(train)), by_name(known), by_name(judged))


sizes = st.integers(1, 12)
datasets = st.builds(
    dataset_of,
    st.dictionaries(st.sampled_from("abc"), sizes, min_size=1),
    st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from(["good", "dent", "rust"])), sizes),
)


@given(datasets, st.integers(3, 30), st.integers(0, 30), st.integers(0, 9), st.randoms())
def test_a_subset_is_balanced_seeded_and_blind_to_order(dataset, train, test, seed, shuffler):
    drawn = subset(dataset, train, test, seed)
    assert (drawn.root, drawn.categories) == (dataset.root, dataset.categories)
    assert len(drawn.train) == min(train, len(dataset.train)) and len(drawn.test) == min(test, len(dataset.test))
    for whole, part, kind in (
        (dataset.train, drawn.train, lambda s: s.category),
        (dataset.test, drawn.test, lambda s: (s.category, s.defect)),
    ):
        assert set(part) <= set(whole) and part == by_name(part)
        there, taken = Counter(map(kind, whole)), Counter(map(kind, part))
        most = max(taken.values(), default=0)
        assert all(taken[k] >= min(there[k], most - 1) for k in there)  # nobody has 2 more while others have some left
    shuffled = replace(dataset, train=tuple(shuffler.sample(dataset.train, len(dataset.train))))
    assert subset(shuffled, train, test, seed) == drawn
    assert set(drawn.test) <= set(subset(dataset, train, test + 3, seed).test)


def test_none_keeps_all_and_seeds_differ():
    dataset = dataset_of({"a": 40}, {("a", "good"): 5})
    assert subset(dataset) == dataset == subset(dataset, 40, 5) == subset(dataset, 1000, 1000)
    assert len({subset(dataset, 5, None, seed).train for seed in range(10)}) == 10


def test_the_draw_follows_sha256_of_the_seed_and_the_name():
    # `printf subset/7/a/train/good/3.png | sha256sum` begins with 54ca1ddb for 3; those of 4, 7 and 8 are lower.
    drawn = subset(dataset_of({"a": 10}, {}), 3, seed=7).train
    assert [sample.path.stem for sample in drawn] == ["4", "7", "8"]


@pytest.mark.parametrize(("train", "test"), [(1, None), (0, None), (-1, None), (None, -1)])
def test_a_class_without_images_is_refused(train, test):
    with pytest.raises(DataError) as refusal:
        subset(dataset_of({"a": 4, "b": 4}, {("a", "good"): 2}), train, test)
    assert refusal.value.todo
