"""The U-Net that colours a gray photograph (Ronneberger et al., MICCAI 2015), as LEA-Net's authors build it.

A 1x1 convolution, four halvings with 4x4 kernels, residual blocks at the bottom, and four doublings, each joined by
what was there before the halving.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HALVINGS = 4
_SLOPE = 0.2  # of the leaky ReLU
_MOMENTUM = 0.2  # of the batch norm; 0.8 the way Keras counts it


class UNet(nn.Module):
    """Values in 0..1 from values in 0..1: float [N, inputs, H, W] -> [N, outputs, H, W]; sides are multiples of 16.

    width: channels behind the first halving; they double up to 8 times it. blocks: residual blocks at the bottom.
    """

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int) -> None:
        super().__init__()
        first = max(width // 2, 1)
        widths = [first, *(width << step for step in range(HALVINGS))]
        self.entry = nn.Sequential(nn.Conv2d(inputs, first, 1), nn.LeakyReLU(_SLOPE))
        self.down = nn.ModuleList(_halving(widths[step], widths[step + 1], norm=step > 0) for step in range(HALVINGS))
        self.bottom = nn.Sequential(*(Residual(widths[-1]) for _ in range(blocks)))
        self.up = nn.ModuleList()
        channels = widths[-1]
        for step in reversed(range(HALVINGS)):
            self.up.append(_doubling(channels, widths[step], norm=step > 0))
            channels = 2 * widths[step]
        # An even kernel has no centre: one more row and column behind than before, as TensorFlow pads.
        self.exit = nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(channels, outputs, 4))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        features = self.entry(image)
        skips: list[Tensor] = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        features = self.bottom(features)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            features = torch.cat([up(features), skip], dim=1)
        return self.exit(features).sigmoid()  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Two 3x3 convolutions, added to what they were given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels, momentum=_MOMENTUM),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels, momentum=_MOMENTUM),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.block(features)  # type: ignore[no-any-return]


def _halving(inputs: int, outputs: int, *, norm: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 4, 2, 1), *_after(outputs, norm))


def _doubling(inputs: int, outputs: int, *, norm: bool) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), *_after(outputs, norm))


def _after(channels: int, norm: bool) -> list[nn.Module]:
    norms: list[nn.Module] = [nn.BatchNorm2d(channels, momentum=_MOMENTUM)] if norm else []
    return [*norms, nn.LeakyReLU(_SLOPE)]
