"""Labelled examples for a detector that learns from bad parts: good ones, the same ones spoilt, and real defects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgead.data.images import read_mask
from edgead.data.layout import Sample
from edgead.training.models.base import DefectLearner
from edgead.training.pictures import Chain, Photographs, Pictures


def with_defects(
    model: DefectLearner, good: Sequence[Sample], defects: Sequence[Sample], seed: int
) -> tuple[Pictures, Tensor, Tensor]:
    """The images to learn from, and their labels as `DefectLearner` takes them.

    Spoiling an image depends on the seed, the copy and the image's name alone.
    """
    size = (model.options.height, model.options.width)
    tokens = model.grid[0] * model.grid[1]
    parts: list[Pictures] = [Photographs(good, *size)]
    bad, where = [torch.zeros(len(good))], [torch.zeros(len(good), tokens)]
    for copy in range(model.spoilt_copies):
        spoilt = _Spoilt(model, good, f"{seed}/{copy}")
        parts.append(spoilt.pictures)
        bad.append(torch.ones(len(good)))
        where.append(torch.stack([spoilt.mask(sample) for sample in good]))
    if defects:
        parts.append(Photographs(defects, *size))
        bad.append(torch.ones(len(defects)))
        where.append(torch.stack([_painted(sample, model, size) for sample in defects]))
    return Chain(parts), torch.cat(bad), torch.cat(where)


class _Spoilt:
    """One spoilt copy of each image. The mask is drawn again from the same seed, without reading the image."""

    def __init__(self, model: DefectLearner, good: Sequence[Sample], seed: str) -> None:
        self._model, self._seed = model, seed
        self.pictures = Photographs(good, model.options.height, model.options.width, self._spoil)

    def _random(self, sample: Sample) -> np.random.Generator:
        digest = hashlib.sha256(f"spoil/{self._seed}/{sample.name}".encode("utf-8", "surrogateescape")).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    def _spoil(self, sample: Sample, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._model.spoil(image, self._random(sample))[0]

    def mask(self, sample: Sample) -> Tensor:
        blank = np.zeros((self._model.options.height, self._model.options.width, 3), np.uint8)
        return onto_grid(self._model.spoil(blank, self._random(sample))[1], self._model.grid)


def onto_grid(mask: NDArray[np.bool_], grid: tuple[int, int]) -> Tensor:
    """bool [H, W] -> float [tokens], 1 where any pixel of the token's cell is set."""
    pooled: Tensor = F.adaptive_max_pool2d(torch.from_numpy(mask).float()[None, None], grid)
    return pooled.flatten()


def _painted(sample: Sample, model: DefectLearner, size: tuple[int, int]) -> Tensor:
    if sample.mask is None:
        return torch.full((model.grid[0] * model.grid[1],), -1.0)
    return onto_grid(read_mask(sample.mask, *size), model.grid)
