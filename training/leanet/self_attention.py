"""Self-attention that LEA-Net is combined with (section 4.4): a network scales its features by what it sees in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from edgead.training.backbones.layers import SqueezeExcitation


def squeeze_excitation(channels: int, reduction: int = 16) -> SqueezeExcitation:
    """Hu et al., "Squeeze-and-Excitation Networks" (CVPR 2018), equations 2 to 4: float [N, C, H, W] -> the same, each
    channel times sigmoid(W2 relu(W1 z)), where z holds the channels' means. reduction: C over the rows of W1."""
    return SqueezeExcitation(channels, channels // reduction, nn.ReLU(inplace=True), nn.Sigmoid())


class SimAM(nn.Module):
    """Yang et al., "SimAM: A Simple, Parameter-Free Attention Module" (ICML 2021), equations 5 and 6: each value times
    sigmoid(1 / e), where e = 4 (v + lambda) / (d + 2 v + 2 lambda), the least energy, is low for a value that differs
    from the rest of its channel. d: its squared distance from the channel's mean. v: the channel's variance, over one
    value less than there are, as the paper's listing has it."""

    def __init__(self, regulariser: float = 1e-4) -> None:
        super().__init__()
        self.regulariser = regulariser

    def forward(self, features: Tensor) -> Tensor:
        """float [N, C, H, W] -> the same."""
        others = max(features.shape[2] * features.shape[3] - 1, 1)
        distance = (features - features.mean((2, 3), keepdim=True)).square()
        variance = distance.sum((2, 3), keepdim=True) / others
        return features * torch.sigmoid(distance / (4 * (variance + self.regulariser)) + 0.5)


class StyleRecalibration(nn.Module):
    """Lee et al., "SRM: A Style-based Recalibration Module" (ICCV 2019), equations 1 to 6: each channel times
    sigmoid(batch norm(w . t)), where t is the channel's mean and standard deviation and w two weights of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cfc = nn.Conv1d(channels, channels, 2, groups=channels, bias=False)
        self.bn = nn.BatchNorm1d(channels)
        nn.init.zeros_(self.cfc.weight)  # as the authors' code has it: every channel starts at a half

    def forward(self, features: Tensor) -> Tensor:
        """float [N, C, H, W] -> the same. In training, N is more than 1."""
        mean = features.mean((2, 3), keepdim=True)
        variance = (features - mean).square().mean((2, 3), keepdim=True)
        deviation = (variance + 1e-5).sqrt()  # the root has no gradient at 0
        style = torch.cat([mean, deviation], 3).squeeze(2)
        gate = torch.sigmoid(self.bn(self.cfc(style)))
        return features * gate.unsqueeze(3)


MODULES: dict[str, Callable[[int], nn.Module] | None] = {
    "none": None,
    "se": squeeze_excitation,
    "se-8": partial(squeeze_excitation, reduction=8),
    "simam": lambda channels: SimAM(),
    "srm": StyleRecalibration,
}
"""Name -> what builds the module for so many channels. `se-8` is the authors' code, `se` the papers'."""
