"""Cross-validation: images dealt into folds by their names and a seed alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from edgead.data.samples import Sample, by_name
from edgead.data.split import order_of
from edgead.errors import DataError

Fold = tuple[tuple[Sample, ...], tuple[Sample, ...]]
"""(what trains, what tests), each sorted by name."""


def stratified_folds(samples: Iterable[Sample], count: int, seed: int) -> tuple[Fold, ...]:
    """Deal the images into `count` folds; each tests once, while the others train.

    The images of each defect ("good" is one) are dealt in the order of SHA-256 of "fold/seed/name", one defect after
    the other, so that the folds have as many images as each other, as many of them good and as many of each defect,
    give or take one, whatever the order of files. Raises DataError for fewer than 2 folds, and for fewer good or fewer
    bad images than folds.
    """
    if count < 2:
        raise DataError(f"{count} folds", "cross-validation", "give at least 2")
    kinds: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        kinds[sample.defect].append(sample)
    ordered = [sample for _, members in sorted(kinds.items()) for sample in _shuffled(members, "fold", seed)]
    # Good ones first: then the bad of all defects go on around the folds together.
    ordered.sort(key=lambda sample: sample.anomalous)
    bad = sum(sample.anomalous for sample in ordered)
    if min(bad, len(ordered) - bad) < count:
        what = f"{len(ordered) - bad} good and {bad} bad images for {count} folds"
        raise DataError(what, "cross-validation", "give as many of both as there are folds, at least")
    return tuple(
        (
            by_name(sample for place, sample in enumerate(ordered) if place % count != fold),
            by_name(ordered[fold::count]),
        )
        for fold in range(count)
    )


def draw(samples: Iterable[Sample], good: int | None, bad: int | None, seed: int) -> tuple[Sample, ...]:
    """At most so many good and so many bad images, sorted by name; None for all of a kind.

    They are the first in the order of SHA-256 of "draw/seed/name", so a smaller draw is part of a larger one.
    """
    found: list[Sample] = []
    everything = list(samples)
    for kind, count in ((False, good), (True, bad)):
        members = [sample for sample in everything if sample.anomalous == kind]
        found += _shuffled(members, "draw", seed)[:count]
    return by_name(found)


def _shuffled(samples: Iterable[Sample], purpose: str, seed: int) -> list[Sample]:
    return sorted(samples, key=lambda sample: order_of(f"{purpose}/{seed}/{sample.name}"))
