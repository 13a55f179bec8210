"""Colours that cannot be foreseen: a U-Net colours the gray photograph, and where it errs, the part's colour is wrong.

Katafuchi and Tokunaga, "Image-based Plant Disease Diagnosis with Unsupervised Anomaly Detection based on
Reconstructability of Colors" (IMPROVE 2021); it is also the first step of LEA-Net (Hayakawa et al., section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from edgead.errors import TrainingError
from edgead.training.ciede2000 import ciede2000
from edgead.training.color import srgb_to_lab
from edgead.training.leanet.unet import HALVINGS, UNet
from edgead.training.models.base import Answer, DetectorModule, ModelOptions
from edgead.training.models.lamp import as_float

LIGHTEST = 100.0
"""L* of white."""
CHROMA = 128.0
"""The largest |a*| and |b*| that can be predicted. No sRGB colour reaches it: those end at 98 and 108."""

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "bce": F.binary_cross_entropy,
}


@dataclass(frozen=True)
class UNetOptions(ModelOptions):
    """The U-Net and its training. The paper leaves its size, its loss and the augmentation's strength open; size and
    strength are those of the authors' code."""

    unet_width: int = field(default=64, metadata={"help": "channels of the U-Net behind its first halving"})
    unet_blocks: int = field(default=5, metadata={"help": "residual blocks at the bottom of the U-Net"})
    color_loss: str = field(
        default="l1",
        metadata={"help": "loss of a*b*; bce: cross-entropy, as in the authors' code", "choices": tuple(LOSSES)},
    )
    augmentation: float = field(
        default=0.08, metadata={"help": "deviation of Fancy PCA's draws, which vary the lightness in training; 0: none"}
    )

    def check(self) -> None:
        """Raise TrainingError where the options contradict each other."""
        step = 2**HALVINGS
        faults = {
            f"{self.height} x {self.width} pixels are no multiples of {step}": self.height % step != 0
            or self.width % step != 0
            or min(self.height, self.width) < step,
            f"a U-Net of {self.unet_width} channels": self.unet_width < 2,
            f"{self.unet_blocks} residual blocks": self.unet_blocks < 0,
            f"augmentation {self.augmentation} is negative": self.augmentation < 0,
            f"color loss {self.color_loss!r} is none of {', '.join(LOSSES)}": self.color_loss not in LOSSES,
        }
        for fault, present in faults.items():
            if present:
                raise TrainingError(fault, "the U-Net", "change the option")


@dataclass(frozen=True)
class ColorizerOptions(UNetOptions):
    """Hyper-parameters of the colorizer."""

    map_window: int = field(default=9, metadata={"help": "side of the mean filter on the anomaly map, odd; 1: none"})
    score: str = field(
        default="max",
        metadata={"help": "image score: maximum of the map, or its mean", "choices": ("max", "mean")},
    )

    def check(self) -> None:
        super().check()
        faults = {
            f"map window {self.map_window} is not odd": self.map_window % 2 == 0 or self.map_window < 1,
            f"score {self.score!r} is neither max nor mean": self.score not in ("max", "mean"),
        }
        for fault, present in faults.items():
            if present:
                raise TrainingError(fault, "colorizer", "change the option")


class Colorizer(DetectorModule):
    """Colours of good parts: a U-Net predicts them from lightness, and CIEDE2000 says where they are wrong.

    image -> L*a*b* -> U-Net: L* -> a*b* -> CIEDE2000 between both colours of the same lightness -> map -> score.
    """

    family = "colorizer"
    Options: ClassVar[type[ColorizerOptions]] = ColorizerOptions
    options: ColorizerOptions
    fit_defaults: ClassVar[dict[str, Any]] = {"epochs": 500, "learning_rate": 1e-4}
    deviations: Tensor

    def __init__(self, options: ColorizerOptions) -> None:
        options.check()
        super().__init__(options)
        self.unet = UNet(1, 2, options.unet_width, options.unet_blocks)
        self.register_buffer("deviations", torch.zeros(3, 3))

    def prepare(self, inputs: Iterable[Tensor]) -> None:
        """Find the principal components of the pixels' colours, for Fancy PCA."""
        count, mean, square = 0, torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
        for images in inputs:
            pixels = images.reshape(-1, 3).double() / 255
            count += len(pixels)
            mean += pixels.sum(dim=0)
            square += pixels.T @ pixels
        mean /= max(count, 1)
        values, vectors = torch.linalg.eigh(square / max(count, 1) - torch.outer(mean, mean))
        self.deviations.copy_(vectors * values.clamp_min(0).sqrt())

    def predict(self, lightness: Tensor) -> Tensor:
        """L* [N, 1, H, W], 0..100 -> a*b* [N, 2, H, W] within -128..128.

        The sigmoid bounds them; nothing else does. A colour that no screen can show at this lightness stays what it is:
        brought into the gamut it would come nearer to the part's own colour, and a defect would fade.
        """
        shares: Tensor = self.unet(lightness / LIGHTEST).float()
        return (2 * shares - 1) * CHROMA

    def recolor(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB -> the image as the U-Net colours it, CIELAB [N, 3, H, W]."""
        return self._recolored(srgb_to_lab(as_float(image)))

    def difference(self, pixels: Tensor) -> Tensor:
        """RGB in 0..1, float [N, 3, H, W] -> CIEDE2000 between the U-Net's colours and the part's, [N, 1, H, W]."""
        lab = srgb_to_lab(pixels)
        return ciede2000(lab, self._recolored(lab))

    def _recolored(self, lab: Tensor) -> Tensor:
        """The predicted colours at the lightness of CIELAB [N, 3, H, W]."""
        lightness = lab[:, :1]
        return torch.cat([lightness, self.predict(lightness)], dim=1)

    def answer(self, inputs: Tensor) -> Answer:
        difference, window = self.difference(as_float(inputs)), self.options.map_window
        smooth = F.avg_pool2d(difference, window, 1, window // 2, count_include_pad=False) if window > 1 else difference
        score = smooth.amax(dim=(1, 2, 3)) if self.options.score == "max" else difference.mean(dim=(1, 2, 3))
        return Answer(smooth[:, 0], score)

    def training_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """The distance of a*b* from those of the photograph, both scaled to 0..1. Its lightness is varied by Fancy PCA
        (Krizhevsky et al. 2012): along each principal component of the colours of all training pixels, a normal draw
        for each image, as long as the deviation of the colours along it."""
        pixels = as_float(inputs)
        varied = pixels
        if self.options.augmentation:
            draws = torch.randn(len(pixels), 1, 3, device=pixels.device) * self.options.augmentation
            shift = (draws * self.deviations).sum(dim=2)
            varied = (pixels + shift[:, :, None, None]).clamp(0, 1)
        return self._loss(varied, pixels)

    def validation_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """The same, without the draws."""
        pixels = as_float(inputs)
        return self._loss(pixels, pixels)

    def _loss(self, seen: Tensor, wanted: Tensor) -> Tensor:
        with torch.no_grad():
            lightness = srgb_to_lab(seen)[:, :1] / LIGHTEST
            target = srgb_to_lab(wanted)[:, 1:] / (2 * CHROMA) + 0.5
        shares = self.unet(lightness).float()
        with torch.autocast(seen.device.type, enabled=False):  # cross-entropy of probabilities refuses to run under it
            return LOSSES[self.options.color_loss](shares, target)
