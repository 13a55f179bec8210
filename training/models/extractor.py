"""What a frozen backbone sees in an image, as one grid of feature tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgead.errors import TrainingError
from edgead.training.backbones import BACKBONES, build_backbone
from edgead.training.models.base import ModelOptions

RESIZES = ("auto", "point", "area")
STANDARDS = ("auto", "off", "channel", "tap")

# Measured with a patch nearest neighbour and with UniAD on MobileNetV2 (docs/performance.md): early taps sampled at
# points lose their signal. The papers sample points, and their backbone keeps the papers' way.
_PAPER = ("efficientnet_b4", "efficientnet_b4_same")


@dataclass(frozen=True)
class FeatureOptions(ModelOptions):
    """Which features a detector reconstructs. `auto` becomes the value that suits the backbone; the run keeps that."""

    height: int = field(default=224, metadata={"help": "height of the network's input, pixels"})
    width: int = field(default=224, metadata={"help": "width of the network's input, pixels"})
    backbone: str = field(
        default=_PAPER[0], metadata={"help": "the frozen feature extractor", "choices": tuple(BACKBONES)}
    )
    taps: str = field(
        default="auto", metadata={"help": "where features are taken, comma-separated; auto: the backbone's usual ones"}
    )
    feature_height: int = field(default=14, metadata={"help": "rows of the grid of feature tokens"})
    feature_width: int = field(default=14, metadata={"help": "columns of the grid of feature tokens"})
    feature_resize: str = field(
        default="auto",
        metadata={
            "help": "to bring taps onto the grid: point (align_corners bilinear, as UniAD's authors do) or area "
            "(antialiased); auto: point for EfficientNet-B4, else area",
            "choices": RESIZES,
        },
    )
    standardise: str = field(
        default="auto",
        metadata={
            "help": "off; channel: give every channel mean 0 and deviation 1 over the training images; tap: and give "
            "every tap the same weight, however many channels it has; auto: off for EfficientNet-B4, else tap",
            "choices": STANDARDS,
        },
    )
    score: str = field(
        default="max",
        metadata={
            "help": "image score: the maximum of the average-pooled map, or its mean for defects that cover the part",
            "choices": ("max", "mean"),
        },
    )
    score_pool: int = field(default=16, metadata={"help": "side of the average pooling before the maximum, pixels"})

    default_taps: ClassVar[tuple[str, ...]] = ()
    """The taps that the family's paper takes from its backbone; () takes the backbone's usual ones."""

    def resolve(self) -> FeatureOptions:
        """The same with every `auto` replaced. Raises TrainingError for options that contradict each other."""
        if self.backbone not in BACKBONES:
            raise TrainingError(f"no backbone {self.backbone!r}", "features", f"choose one of {', '.join(BACKBONES)}")
        paper = self.backbone in _PAPER
        usual = self.default_taps if paper and self.default_taps else BACKBONES[self.backbone].default_taps
        resolved = replace(
            self,
            taps=",".join(usual) if self.taps == "auto" else self.taps.replace(" ", ""),
            feature_resize=("point" if paper else "area") if self.feature_resize == "auto" else self.feature_resize,
            standardise=("off" if paper else "tap") if self.standardise == "auto" else self.standardise,
        )
        resolved.check()
        return resolved

    def check(self) -> None:
        """Raise TrainingError where resolved options contradict each other."""
        faults = {
            f"a grid of {self.feature_height} x {self.feature_width} tokens": min(
                self.feature_height, self.feature_width
            )
            < 1,
            f"resize {self.feature_resize!r} is neither point nor area": self.feature_resize not in RESIZES[1:],
            f"standardise {self.standardise!r} is none of {', '.join(STANDARDS[1:])}": self.standardise
            not in STANDARDS[1:],
            f"score {self.score!r} is neither max nor mean": self.score not in ("max", "mean"),
            f"{self.height} x {self.width} pixels are fewer than 32 x 32": min(self.height, self.width) < 32,
            f"a score pool of {self.score_pool} pixels does not fit the image": not 1
            <= self.score_pool
            <= min(self.height, self.width),
        }
        for fault, present in faults.items():
            if present:
                raise TrainingError(fault, "features", "change the option")


class FeatureExtractor(nn.Module):
    """uint8 pixels -> ImageNet normalisation -> frozen backbone -> taps on one grid, their channels side by side."""

    mean: Tensor
    deviation: Tensor
    pixel_mean: Tensor
    pixel_deviation: Tensor

    def __init__(self, options: FeatureOptions) -> None:
        super().__init__()
        self.options = options
        self.backbone = build_backbone(options.backbone, options.taps.split(","))
        self.channels = sum(self.backbone.channels)
        self.grid = (options.feature_height, options.feature_width)
        for tap, stride in zip(self.backbone.taps, self.backbone.strides, strict=True):
            self._check_tap(tap, stride)
        pixel = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # of ImageNet, as every published backbone was trained
        for name, values in zip(("pixel_mean", "pixel_deviation"), pixel, strict=True):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        if options.standardise != "off":
            self.register_buffer("mean", torch.zeros(self.channels))
            self.register_buffer("deviation", torch.ones(self.channels))

    def _check_tap(self, tap: str, stride: int) -> None:
        sizes = (math.ceil(self.options.height / stride), math.ceil(self.options.width / stride))
        uneven = [
            f"{size} positions into {cells}"
            for size, cells in zip(sizes, self.grid, strict=True)
            if size > cells and size % cells
        ]
        if self.options.feature_resize == "area" and uneven:
            todo = "choose a grid that divides them, another image size, or --feature-resize point"
            raise TrainingError(f"tap {tap} does not divide: {', '.join(uneven)}", "features", todo)

    def train(self, mode: bool = True) -> FeatureExtractor:
        """Stay in eval mode: the extractor is frozen."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB -> float [N, feature_height * feature_width, C], row by row, not standardised."""
        # The cast comes first: TensorRT transposes no bytes.
        pixels = image.to(torch.float32).permute(0, 3, 1, 2) / 255.0
        taps = self.backbone((pixels - self.pixel_mean) / self.pixel_deviation)
        return torch.cat([self._onto_grid(tap) for tap in taps], dim=1).flatten(2).transpose(1, 2)

    def _onto_grid(self, tap: Tensor) -> Tensor:
        size = tap.shape[-2:]
        if tuple(size) == self.grid:
            return tap
        if self.options.feature_resize == "point":
            return F.interpolate(tap, self.grid, mode="bilinear", align_corners=True)
        cells = [max(1, side // cell) for side, cell in zip(size, self.grid, strict=True)]
        pooled = F.avg_pool2d(tap, cells) if max(cells) > 1 else tap
        if tuple(pooled.shape[-2:]) == self.grid:
            return pooled
        return F.interpolate(pooled, self.grid, mode="bilinear", align_corners=False)

    def standardised(self, tokens: Tensor) -> Tensor:
        """Tokens as the reconstruction sees them: less their mean and divided by their deviation, where that is on."""
        return tokens if self.options.standardise == "off" else (tokens - self.mean) / self.deviation

    def fit_statistics(self, batches: Iterable[Tensor]) -> None:
        """Set the channels' mean and deviation from the tokens [N, T, C] of all training images, in float64.

        With `tap` the deviations are multiplied by sqrt(c K / C), where the channel's tap has c of all C channels and
        there are K taps: every tap then has the same share of the distance, and the mean variance stays 1.
        """
        if self.options.standardise == "off":
            return
        count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        for tokens in batches:
            flat = tokens.detach().cpu().flatten(0, 1).double()
            count, total, squares = count + len(flat), total + flat.sum(0), squares + flat.square().sum(0)
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        # A channel that never changes has nothing to scale; dividing by its rounding error would make it all noise.
        floor = 1e-3 * float(deviation.median()) if float(deviation.median()) > 0 else 1.0
        self.mean.copy_(mean)
        deviation = deviation.clamp_min(floor)
        if self.options.standardise == "tap":
            counts = torch.tensor(self.backbone.channels, dtype=torch.float64)
            share = (counts * len(counts) / self.channels).sqrt()
            deviation = deviation * torch.repeat_interleave(share, counts.long())
        self.deviation.copy_(deviation)
