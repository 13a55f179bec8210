"""Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from torch import nn

from edgead.training.backbones.base import Step
from edgead.training.backbones.layers import InvertedResidual, SqueezeExcitation, conv_norm, divisible, head

# Table 1 of the paper: expansion, kernel, stride of the first block, outputs, blocks.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_DROP = 0.2


def efficientnet(width: float, depth: float, dropout: float, same: Collection[int] = ()) -> Iterator[Step]:
    """Steps of the network scaled to `width` and `depth`. Every child of `features` is a tap: the stem, the seven
    stages and the last convolution. same: those of them whose first convolution of stride 2 pads as `SameConv2d`."""
    channels, stride = divisible(32 * width), 2
    stem = conv_norm(3, channels, stride=2, activation=nn.SiLU, same=0 in same)
    yield Step("features.0", stem, "features.0", channels, stride)

    counts = [math.ceil(blocks * depth) for *_, blocks in _STAGES]
    done = 0
    for index, ((expansion, kernel, step, outputs, _), count) in enumerate(zip(_STAGES, counts, strict=True), start=1):
        stage = nn.Sequential()
        outputs = divisible(outputs * width)
        for block in range(count):
            drop = _DROP * done / sum(counts)  # deeper blocks are left out more often
            first = block == 0
            stage.append(
                mbconv(channels, outputs, expansion, kernel, step if first else 1, drop, same=first and index in same)
            )
            channels, done = outputs, done + 1
        stride *= step
        yield Step(f"features.{index}", stage, f"features.{index}", channels, stride)

    last = conv_norm(channels, 4 * channels, kernel=1, activation=nn.SiLU)
    yield Step("features.8", last, "features.8", 4 * channels, stride)
    yield from head("classifier", nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, 1000)))


def mbconv(
    inputs: int, outputs: int, expansion: int, kernel: int, stride: int, drop: float, *, same: bool = False
) -> InvertedResidual:
    """Expand, convolve depthwise, squeeze and excite, project. The squeeze is a quarter of the block's input."""
    inner = expansion * inputs
    layers = [] if expansion == 1 else [conv_norm(inputs, inner, kernel=1, activation=nn.SiLU)]
    return InvertedResidual(
        *layers,
        conv_norm(inner, inner, kernel, stride, groups=inner, activation=nn.SiLU, same=same),
        SqueezeExcitation(inner, inputs // 4, nn.SiLU(inplace=True), nn.Sigmoid()),
        conv_norm(inner, outputs, kernel=1, activation=None),
        add=stride == 1 and inputs == outputs,
        drop=drop,
    )
