"""LAMP: a convolutional auto-encoder trained with an amplified reconstruction loss (Park et al. 2024).

The paper leaves widths, kernel size, patches and learning rate to tuning; they are options here, with our defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgead.errors import TrainingError
from edgead.training.losses import ELEMENT_LOSSES, amplify
from edgead.training.models.base import Answer, DetectorModule, ModelOptions


@dataclass(frozen=True)
class LampOptions(ModelOptions):
    """Hyper-parameters of LAMP. stages: six in the paper, four for small images."""

    stages: int = field(default=6, metadata={"help": "encoder stages, each halving the image; 4 for tiny images"})
    base_width: int = field(default=16, metadata={"help": "channels of the first stage; they double at each stage"})
    max_width: int = field(default=256, metadata={"help": "channels at most"})
    kernel_size: int = field(default=3, metadata={"help": "side of the convolution kernels, odd"})
    patches: int = field(default=1, metadata={"help": "reconstruct the image in this many patches, a square number"})
    loss: str = field(default="l2", metadata={"help": "base loss", "choices": tuple(ELEMENT_LOSSES)})
    amplified: bool = field(default=True, metadata={"help": "amplify the base loss (Eq. 1)"})
    epsilon: float = field(default=1e-2, metadata={"help": "Eq. 2: keeps the logarithm finite"})
    differentiate_maximum: bool = field(
        default=False, metadata={"help": "let the gradient run through the maximum of Eq. 2"}
    )
    map_window: int = field(default=9, metadata={"help": "side of the mean filter on the anomaly map, odd; 1: none"})
    score: str = field(
        default="max",
        metadata={"help": "image score: maximum of the map, or its mean as in the paper", "choices": ("max", "mean")},
    )

    def check(self) -> None:
        """Raise TrainingError where the options contradict each other."""
        side = round(self.patches**0.5)
        step = side * 2**self.stages
        faults = {
            f"{self.patches} patches are not a square number": self.patches < 1 or side * side != self.patches,
            f"{self.height} x {self.width} pixels do not divide into {self.patches} patches and {self.stages} "
            f"halvings; both sides have to be multiples of {step}": self.height % step != 0 or self.width % step != 0,
            f"kernel size {self.kernel_size} is not odd": self.kernel_size % 2 == 0 or self.kernel_size < 1,
            f"map window {self.map_window} is not odd": self.map_window % 2 == 0 or self.map_window < 1,
            f"epsilon {self.epsilon} is not between 0 and 1": not 0 < self.epsilon < 1,
            f"loss {self.loss!r} is none of {', '.join(ELEMENT_LOSSES)}": self.loss not in ELEMENT_LOSSES,
            f"score {self.score!r} is neither max nor mean": self.score not in ("max", "mean"),
            "stages and widths have to be at least 1": min(self.stages, self.base_width, self.max_width) < 1,
        }
        for fault, present in faults.items():
            if present:
                raise TrainingError(fault, "lamp", "change the option")


class AutoEncoder(nn.Module):
    """Convolution -> batch norm -> leaky ReLU down, upsampling -> convolution -> batch norm -> leaky ReLU up; no
    skips."""

    def __init__(self, options: LampOptions) -> None:
        super().__init__()
        widths = [min(options.base_width * 2**stage, options.max_width) for stage in range(options.stages)]
        kernel, margin = options.kernel_size, options.kernel_size // 2

        def convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
            layer = nn.Conv2d(inputs, outputs, kernel, stride, margin, bias=False)
            return [layer, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]

        down: list[nn.Module] = []
        for inputs, outputs in zip([3, *widths], widths, strict=False):
            down += convolution(inputs, outputs, 2)
        up: list[nn.Module] = []
        for inputs, outputs in zip(widths[::-1], [*widths[-2::-1], widths[0]], strict=True):
            up += [nn.Upsample(scale_factor=2, mode="nearest"), *convolution(inputs, outputs, 1)]
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up, nn.Conv2d(widths[0], 3, kernel, 1, margin), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        """float [N, 3, H, W] in 0..1 -> the same."""
        # Centred, so that a symmetric int8 input uses all of its codes and not the positive half.
        return self.decoder(self.encoder(image * 2 - 1))  # type: ignore[no-any-return]


class Lamp(DetectorModule):
    """LAMP: an auto-encoder trained with an amplified reconstruction loss.

    image / 255 -> auto-encoder, patch by patch -> squared error -> map -> score.
    """

    family = "lamp"
    Options = LampOptions
    options: LampOptions

    def __init__(self, options: LampOptions) -> None:
        options.check()
        super().__init__(options)
        self.autoencoder = AutoEncoder(options)

    def reconstruct(self, image: Tensor) -> Tensor:
        """float [N, 3, H, W] in 0..1 -> its reconstruction, the same shape. Patches are reconstructed independently."""
        side = round(self.options.patches**0.5)
        if side == 1:
            return self.autoencoder(image)  # type: ignore[no-any-return]
        height, width = self.options.height // side, self.options.width // side
        patches = (
            image.reshape(-1, 3, side, height, side, width).permute(0, 2, 4, 1, 3, 5).reshape(-1, 3, height, width)
        )
        rebuilt: Tensor = self.autoencoder(patches).reshape(-1, side, side, 3, height, width)
        return rebuilt.permute(0, 3, 1, 4, 2, 5).reshape(-1, 3, self.options.height, self.options.width)

    def answer(self, inputs: Tensor) -> Answer:
        pixels = as_float(inputs)
        # L2 between input and reconstruction is the paper's anomaly score; its per-pixel terms are the map.
        error = (pixels - self.reconstruct(pixels)).square().mean(dim=1, keepdim=True)
        window = self.options.map_window
        anomaly_map = F.avg_pool2d(error, window, 1, window // 2, count_include_pad=False) if window > 1 else error
        anomaly_map = anomaly_map[:, 0]
        score = anomaly_map.amax(dim=(1, 2)) if self.options.score == "max" else error.mean(dim=(1, 2, 3))
        return Answer(anomaly_map, score)

    def training_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """Eq. 1: summed over height, width and channels; the mean over the batch."""
        loss = self._base_loss(inputs)
        if self.options.amplified:
            loss = amplify(loss.float(), self.options.epsilon, differentiate_maximum=self.options.differentiate_maximum)
        return loss.flatten(1).sum(dim=1).mean()

    def validation_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """The base loss, the mean over all elements. The amplified one is relative to its own maximum and does not say
        how large the errors are, so it cannot tell a better epoch from a worse one."""
        loss: Tensor = self._base_loss(inputs)
        return loss.mean()

    def _base_loss(self, image: Tensor) -> Tensor:
        pixels = as_float(image)
        loss: Tensor = ELEMENT_LOSSES[self.options.loss](pixels, self.reconstruct(pixels))
        return loss


def as_float(image: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W] in 0..1. The cast comes first: TensorRT transposes no bytes."""
    return image.to(torch.float32).permute(0, 3, 1, 2) / 255.0
