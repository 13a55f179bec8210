"""Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from edgead.training.backbones.base import Step
from edgead.training.backbones.layers import conv_norm, head

# Table 2 of the paper: expansion, outputs, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v2() -> Iterator[Step]:
    """Steps of the network at width 1. Every child of `features` is a tap: the stem, 17 blocks and the last
    convolution."""
    channels, stride, index = 32, 2, 0
    yield Step("features.0", conv_norm(3, channels, stride=2, activation=nn.ReLU6), "features.0", channels, stride)
    for expansion, outputs, blocks, step in _STAGES:
        stride *= step
        for block in range(blocks):
            index += 1
            module = Bottleneck(channels, outputs, expansion, step if block == 0 else 1)
            yield Step(f"features.{index}", module, f"features.{index}", outputs, stride)
            channels = outputs
    yield Step("features.18", conv_norm(channels, 1280, kernel=1, activation=nn.ReLU6), "features.18", 1280, stride)
    yield from head("classifier", nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000)))


class Bottleneck(nn.Module):
    """Expand, convolve depthwise, project without an activation; the input is added where the shape stays. All of it is
    one flat `conv`, other than in the later families."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = expansion * inputs
        layers = [] if expansion == 1 else [conv_norm(inputs, inner, kernel=1, activation=nn.ReLU6)]
        layers.append(conv_norm(inner, inner, stride=stride, groups=inner, activation=nn.ReLU6))
        self.conv = nn.Sequential(*layers, *conv_norm(inner, outputs, kernel=1, activation=None))
        self.add = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.conv(features)
        return features + result if self.add else result
