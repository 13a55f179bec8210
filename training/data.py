"""The order in which a training sees its images, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sized

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler


def digest(images: Tensor) -> str:
    """SHA-256 of the pixels: says whether two runs saw the same images."""
    return hashlib.sha256(images.numpy().tobytes()).hexdigest()


class EpochSampler(Sampler[int]):
    """A shuffle that depends on the seed and the epoch alone, so that a resumed run sees the order it would have
    seen."""

    def __init__(self, data: Sized, seed: int) -> None:
        self._count, self._seed, self._epoch = len(data), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._count)
        return iter(order.tolist())
