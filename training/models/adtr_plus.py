"""ADTR+: ADTR for lines where images of bad parts have piled up, with or without somebody to paint the defects.

Its losses keep the distance small where the part is good and push it up where it is bad. The paper's text does not give
alpha, the number of places k, or the schedule: the defaults here are our own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgead.errors import TrainingError
from edgead.training.models.adtr import Adtr, AdtrOptions
from edgead.training.models.base import DefectLearner

_LEAST = 1e-6  # of q in log(1 - exp(-q)), which has no value at 0


@dataclass(frozen=True)
class AdtrPlusOptions(AdtrOptions):
    """Hyper-parameters of ADTR+. alpha, top and the confetti are our own defaults: the paper's were not found."""

    alpha: float = field(default=0.003, metadata={"help": "weight of bad places and bad parts in the loss"})
    top: int = field(default=10, metadata={"help": "places with the largest distance that make q of a whole image"})
    spoilt_copies: int = field(
        default=1, metadata={"help": "copies of every good image with pasted noise that join the training; 0: none"}
    )
    confetti: int = field(default=4, metadata={"help": "patches of noise at most in a spoilt image"})
    confetti_size: float = field(
        default=0.25, metadata={"help": "side of such a patch at most, as a share of the image"}
    )

    def check(self) -> None:
        super().check()
        faults = {
            f"alpha {self.alpha} is not positive": not self.alpha > 0,
            f"top {self.top} is not among the {self.feature_height * self.feature_width} places": not 1
            <= self.top
            <= self.feature_height * self.feature_width,
            f"{self.spoilt_copies} spoilt copies": self.spoilt_copies < 0,
            f"{self.confetti} patches of confetti": self.confetti < 1,
            f"confetti of {self.confetti_size} of the image": not 0.02 <= self.confetti_size <= 1,
        }
        for fault, present in faults.items():
            if present:
                raise TrainingError(fault, "adtr-plus", "change the option")


class AdtrPlus(Adtr, DefectLearner):
    """ADTR+: ADTR that learns from images of bad parts as well, painted or not."""

    family = "adtr-plus"
    Options: ClassVar[type[AdtrPlusOptions]] = AdtrPlusOptions
    options: AdtrPlusOptions

    def __init__(self, options: AdtrPlusOptions) -> None:
        super().__init__(options)
        self.grid = (self.options.feature_height, self.options.feature_width)

    @property
    def spoilt_copies(self) -> int:
        return self.options.spoilt_copies

    def spoil(
        self, image: NDArray[np.uint8], random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Confetti noise: 1 to `confetti` rectangles of uniform noise, places and sizes drawn at random."""
        spoilt, mask = image.copy(), np.zeros(image.shape[:2], np.bool_)
        for _ in range(random.integers(1, self.options.confetti, endpoint=True)):
            high, wide = (self._side(length, random) for length in (self.options.height, self.options.width))
            top = int(random.integers(0, self.options.height - high, endpoint=True))
            left = int(random.integers(0, self.options.width - wide, endpoint=True))
            place = np.s_[top : top + high, left : left + wide]
            spoilt[place] = random.integers(0, 256, (high, wide, 3), np.uint8)
            mask[place] = True
        return spoilt, mask

    def _side(self, length: int, random: np.random.Generator) -> int:
        """A side of a patch of confetti, in pixels."""
        most = max(2, round(self.options.confetti_size * length))
        return int(random.integers(max(1, round(0.02 * length)), most, endpoint=True))

    def training_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """Pixel labels y: mean_u[(1 - y) phi] - alpha log(1 - exp(-mean_u[y phi])), the last term where y is not all 0.

        Image labels y, where nobody has painted: q is the mean of the `top` largest phi, and the loss
        (1 - y) q - alpha y log(1 - exp(-q)). The mean over the batch.
        """
        bad, where = labels
        tokens = self.extractor.standardised(inputs)
        phi = pseudo_huber((self.reconstruct(tokens) - tokens).float())
        painted = where[:, 0] >= 0
        known = where.clamp_min(0)
        pixels = ((1 - known) * phi).mean(dim=1) + self._push((known * phi).mean(dim=1), known.amax(dim=1))
        q = phi.topk(self.options.top, dim=1).values.mean(dim=1)
        images = (1 - bad) * q + self._push(q, bad)
        return torch.where(painted, pixels, images).mean()

    def _push(self, q: Tensor, present: Tensor) -> Tensor:
        """-alpha log(1 - exp(-q)) where `present` is 1, and 0 where it is 0."""
        # log(1 - exp(-q)) as log(-expm1(-q)): exact for the small q that training begins with.
        return -self.options.alpha * present * torch.log(-torch.expm1(-q.clamp_min(_LEAST)))


def pseudo_huber(difference: Tensor) -> Tensor:
    """phi(u) = sqrt((mean_c |d(c, u)|)^2 + 1) - 1: float [N, T, C] -> [N, T]."""
    return (difference.abs().mean(dim=2).square() + 1).sqrt() - 1
