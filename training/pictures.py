"""The images of a training as one sequence, read in pieces, so that a large data set need not be in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgead.data.layout import Sample
from edgead.data.loading import load_images


class Pictures(Protocol):
    """A sequence of images of one size."""

    def __len__(self) -> int: ...

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

    def read(self, begin: int, end: int) -> NDArray[np.uint8]:
        found, start = [], 0
        for part in self.parts:
            low, high = max(begin - start, 0), min(end - start, len(part))
            if low < high:
                found.append(part.read(low, high))
            start += len(part)
        return np.concatenate(found)


def in_pieces(pictures: Pictures, size: int) -> Iterator[NDArray[np.uint8]]:
    """All images, `size` at a time."""
    for begin in range(0, len(pictures), size):
        yield pictures.read(begin, min(begin + size, len(pictures)))
