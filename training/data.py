"""What a training step reads, and the order in which an epoch does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from edgead.training.features import Inputs


class Examples(Dataset[tuple[Tensor, ...]]):
    """Inputs and their labels, if there are any; a batch is gathered at once."""

    def __init__(self, inputs: Inputs, *labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, ...]:
        """The batch at `indices`: inputs, then labels."""
        return (self.inputs.gather(indices), *(label[list(indices)] for label in self.labels))


def as_it_is(batch: Any) -> Any:
    """The collation of batches that are gathered already."""
    return batch


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
