"""Orders in which calibration images are taken. Each begins with what a small set needs most, so that a smaller set is
part of a larger one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgead.data.samples import Sample
from edgead.data.split import order_of

SELECTIONS = ("random", "stratified", "coreset")


def shuffled(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples in an order that depends on their names and the seed alone."""
    return sorted(samples, key=lambda sample: order_of(f"calibration/{seed}/{sample.name}"))


def in_turns(samples: Sequence[Sample]) -> list[Sample]:
    """The first sample of each class, then the second of each, and so on; a class that has no more leaves its turns to
    the others."""
    turns: Counter[str] = Counter()
    numbered: list[tuple[int, Sample]] = []
    for sample in samples:
        numbered.append((turns[sample.category], sample))
        turns[sample.category] += 1
    return [sample for _, sample in sorted(numbered, key=lambda entry: entry[0])]


def k_centres(features: NDArray[np.floating]) -> Iterator[int]:
    """Rows of features [N, F] so that every other row is near to one of those taken: the greedy k-centre of Sener and
    Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", algorithm 1.

    The first is the row nearest to the mean, each further one the row farthest from its nearest among those before;
    of several, the first. All rows in the end. The largest distance that remains is at most twice the least that as
    many rows can leave (Gonzalez 1985).
    """
    if not len(features):
        return
    nearest = np.full(len(features), np.inf)
    row = int(np.argmin(_squares(features, features.mean(axis=0))))
    for _ in range(len(features)):
        yield row
        np.minimum(nearest, _squares(features, features[row]), out=nearest)
        nearest[row] = -1  # below the distance of its copies, which is 0
        row = int(np.argmax(nearest))


def _squares(features: NDArray[np.floating], centre: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distances, float64 [N]."""
    differences = features - centre
    squares: NDArray[np.float64] = np.einsum("nf,nf->n", differences, differences, dtype=np.float64)
    return squares
