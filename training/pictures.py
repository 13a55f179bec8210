"""The images of a training as one sequence, read in pieces, so that a large data set need not be in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgead.data.layout import Sample
from edgead.data.loading import load_images


class Pictures(Protocol):
    """A sequence of images of one size."""

    def __len__(self) -> int: ...

    @property
    def seams(self) -> Sequence[int]:
        """Where one kind of image ends and the next begins, and the end."""
        ...

    def read(self, begin: int, end: int) -> NDArray[np.uint8]:
        """uint8 [end - begin, H, W, 3] RGB."""
        ...


@dataclass(frozen=True)
class Photographs:
    """Image files, resized as everywhere. change: what is done to each afterwards, given its sample."""

    samples: Sequence[Sample]
    height: int
    width: int
    change: Callable[[Sample, NDArray[np.uint8]], NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def seams(self) -> Sequence[int]:
        kinds = [sample.category for sample in self.samples]
        return [*(place for place in range(1, len(kinds)) if kinds[place] != kinds[place - 1]), len(kinds)]

    def read(self, begin: int, end: int) -> NDArray[np.uint8]:
        part = self.samples[begin:end]
        images = load_images(part, self.height, self.width)
        if self.change is not None:
            for index, sample in enumerate(part):
                images[index] = self.change(sample, images[index])
        return images


@dataclass(frozen=True)
class Chain:
    """Sequences one behind the other."""

    parts: Sequence[Pictures]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def seams(self) -> Sequence[int]:
        begins = [0, *accumulate(map(len, self.parts))]
        return [begin + seam for begin, part in zip(begins, self.parts, strict=False) for seam in part.seams]

    def read(self, begin: int, end: int) -> NDArray[np.uint8]:
        found, start = [], 0
        for part in self.parts:
            low, high = max(begin - start, 0), min(end - start, len(part))
            if low < high:
                found.append(part.read(low, high))
            start += len(part)
        return np.concatenate(found)


def in_pieces(pictures: Pictures, size: int) -> Iterator[NDArray[np.uint8]]:
    """All images, `size` at a time at most. No piece crosses a seam, so that a category has the same pieces in a set of
    its own and among others."""
    begin = 0
    for seam in pictures.seams:
        while begin < seam:
            end = min(begin + size, seam)
            yield pictures.read(begin, end)
            begin = end
