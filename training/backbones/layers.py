"""The layers that several families share, with torchvision's names inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgead.training.backbones.base import Step

Norm = Callable[[int], nn.Module]


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    norm: Norm = nn.BatchNorm2d,
    activation: Callable[..., nn.Module] | None,
    same: bool = False,
    bias: bool = False,
) -> nn.Sequential:
    """Convolution `0`, batch norm `1` and the activation. Half the kernel is padded; with `same`, of stride 2, as
    `SameConv2d` does. bias: of the convolution, which batch norm takes away again."""
    convolution = SameConv2d if same else nn.Conv2d
    layers: list[nn.Module] = [
        convolution(inputs, outputs, kernel, stride, 0 if same else kernel // 2, groups=groups, bias=bias),
        norm(outputs),
    ]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


class SameConv2d(nn.Conv2d):
    """A convolution of stride 2 that pads as TensorFlow's "SAME" does for an even input: kernel - 2 rows and columns of
    zeros, the smaller half of them at the start. Half the kernel on both sides is one more at the start, and for an
    odd input one position more in the result."""

    def forward(self, input: Tensor) -> Tensor:
        sides = []
        for kernel in reversed(self.kernel_size):  # F.pad begins with the last dimension
            before = (kernel - 2) // 2
            sides += [before, kernel - 2 - before]
        return super().forward(F.pad(input, sides))


class SqueezeExcitation(nn.Module):
    """Hu et al., "Squeeze-and-Excitation Networks" (CVPR 2018): channels scaled by a gate on their means."""

    def __init__(self, channels: int, squeezed: int, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation, self.gate = activation, gate

    def forward(self, features: Tensor) -> Tensor:
        squeezed = self.activation(self.fc1(features.mean((2, 3), keepdim=True)))
        scaled: Tensor = features * self.gate(self.fc2(squeezed))
        return scaled


class InvertedResidual(nn.Module):
    """`block`, and its input added where `add` says that both have one shape.

    drop: how likely a sample's block is left out in training, as in Huang et al., "Deep Networks with Stochastic Depth"
    (ECCV 2016); what is kept is scaled up, so that nothing changes on average.
    """

    def __init__(self, *block: nn.Module, add: bool, drop: float = 0.0) -> None:
        super().__init__()
        self.block = nn.Sequential(*block)
        self.add, self.drop = add, drop

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.block(features)
        if not self.add:
            return result
        if self.training and self.drop:
            kept = torch.empty(len(result), 1, 1, 1, dtype=result.dtype, device=result.device)
            result = result * kept.bernoulli_(1 - self.drop).div_(1 - self.drop)
        return result + features


def divisible(width: float) -> int:
    """The multiple of 8 nearest to a width, never more than a tenth below it (Howard et al., MobileNets, 2017)."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def head(name: str, classifier: nn.Module, *, pooled: int = 1) -> Iterator[Step]:
    """The last steps of a network: pool the features to `pooled` x `pooled`, flatten them and classify."""
    yield Step("avgpool", nn.AdaptiveAvgPool2d(pooled))
    yield Step("flatten", nn.Flatten())
    yield Step(name, classifier)
