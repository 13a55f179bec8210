"""Images as the network sees them: read, resized by the kernel that cameras use, kept in memory as uint8."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from edgead.data.images import read_image
from edgead.data.layout import Sample
from edgead.kernels import resize
from edgead.progress import Progress, silent


def load_images(samples: Sequence[Sample], height: int, width: int, progress: Progress = silent) -> Tensor:
    """uint8 [N, height, width, 3] RGB. Raises DataError naming the first image that cannot be read."""
    images = np.empty((len(samples), height, width, 3), np.uint8)
    with ThreadPoolExecutor() as pool:  # decoding and resizing release the interpreter lock
        resized = pool.map(lambda sample: resize(read_image(sample.path), height, width), samples)
        for index, image in enumerate(resized):
            images[index] = image
            progress("reading images", index + 1, len(samples))
    return torch.from_numpy(images)




def digest(images: Tensor) -> str:
    """SHA-256 of the pixels: says whether two runs saw the same images."""
    return hashlib.sha256(images.numpy().tobytes()).hexdigest()


class EpochSampler(Sampler[int]):
    """A shuffle that depends on the seed and the epoch alone, so that a resumed run sees the order it would have seen."""

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
