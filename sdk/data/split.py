"""Draws that depend on names and a seed alone: the validation split, and smaller data sets for quick runs."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace

from edgead.data.samples import Dataset, Sample, by_name
from edgead.errors import DataError


def split_validation(
    samples: Iterable[Sample], fraction: float = 0.2, seed: int = 0
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Split into (train, validation), category by category, each sorted by name.

    The order is that of SHA-256 of "seed/name", so the split is the same on every machine and for every order of files.
    Each half of each category has at least one image. Raises DataError where a category has fewer than two.
    """
    if not 0 < fraction < 1:
        raise DataError(
            f"a validation share of {fraction} leaves one half empty", "split", "give a share between 0 and 1"
        )
    categories: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        categories[sample.category].append(sample)
    if not categories:
        raise DataError("there are no images to split", "split", "give at least 2 images of good parts")
    train: list[Sample] = []
    validation: list[Sample] = []
    for category, members in categories.items():
        if len(members) < 2:
            raise DataError("one image cannot be split", category, "give at least 2 images of good parts")
        members.sort(key=lambda sample: order_of(f"{seed}/{sample.name}"))
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        validation += members[:count]
        train += members[count:]
    return by_name(train), by_name(validation)


def subset(dataset: Dataset, train: int | None = None, test: int | None = None, seed: int = 0) -> Dataset:
    """A data set with at most `train` and `test` images, for quick runs; None keeps them all.

    The draw is balanced: over the categories for training, over each category's defects ("good" is one) for the test.
    One with too few images gives all it has, and the others give more. The order is that of SHA-256 of
    "subset/seed/name", so a smaller draw is part of a larger one. Raises DataError for fewer training images than
    categories, and for negative counts.
    """
    kinds = len({sample.category for sample in dataset.train})
    if train is not None and train < kinds:
        todo = f"draw at least {kinds}; training takes 2 of each class or more"
        raise DataError(f"{train} training images leave a class of the {kinds} without any", dataset.root, todo)
    if test is not None and test < 0:
        raise DataError(f"{test} test images cannot be drawn", dataset.root, "give 0 or more")
    return replace(
        dataset,
        train=_draw(dataset.train, train, seed, lambda sample: sample.category),
        test=_draw(dataset.test, test, seed, lambda sample: (sample.category, sample.defect)),
    )


def _draw(
    samples: Iterable[Sample], count: int | None, seed: int, kind: Callable[[Sample], Hashable]
) -> tuple[Sample, ...]:
    """The first of each kind, then the second of each, and so on, until there are enough."""
    rounds: Counter[Hashable] = Counter()
    drawn: list[tuple[int, int, Sample]] = []
    for place, sample in enumerate(sorted(samples, key=lambda sample: order_of(f"subset/{seed}/{sample.name}"))):
        drawn.append((rounds[kind(sample)], place, sample))
        rounds[kind(sample)] += 1
    drawn.sort(key=lambda entry: entry[:2])
    return by_name(sample for _, _, sample in drawn[:count])


def order_of(text: str) -> bytes:
    """Where a text stands in a draw: its SHA-256, the same on every machine."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
