"""Howard et al., "Searching for MobileNetV3" (ICCV 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from edgead.training.backbones.base import Step
from edgead.training.backbones.layers import InvertedResidual, SqueezeExcitation, conv_norm, divisible, head

# Table 2 of the paper: kernel, expanded width, outputs, squeeze and excite, activation, stride.
_SMALL: tuple[tuple[int, int, int, bool, Callable[..., nn.Module], int], ...] = (
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    (5, 576, 96, True, nn.Hardswish, 1),
    (5, 576, 96, True, nn.Hardswish, 1),
)
# The published weights were trained with TensorFlow's batch norm, not torch's; eps changes the features.
_conv = partial(conv_norm, norm=partial(nn.BatchNorm2d, eps=0.001, momentum=0.01))


def mobilenet_v3_small(
    inputs: int = 3, *, squeeze: int = 4, bias: bool = False, relu_only: bool = False
) -> Iterator[Step]:
    """Steps of the network at width 1. Every child of `features` is a tap: the stem, 11 blocks and the last
    convolution. inputs: channels of the image. squeeze: how much narrower squeeze and excite makes the means. bias: of
    the convolutions in front of a batch norm. relu_only: ReLU in place of hard swish."""
    convolve = partial(_conv, bias=bias)
    swish: Callable[..., nn.Module] = nn.ReLU if relu_only else nn.Hardswish
    channels, stride = 16, 2
    yield Step("features.0", convolve(inputs, channels, stride=2, activation=swish), "features.0", channels, stride)
    for index, (kernel, inner, outputs, gated, published, step) in enumerate(_SMALL, start=1):
        stride *= step
        activation = nn.ReLU if relu_only else published
        layers = [] if inner == channels else [convolve(channels, inner, kernel=1, activation=activation)]
        layers.append(convolve(inner, inner, kernel, step, groups=inner, activation=activation))
        gates = [SqueezeExcitation(inner, divisible(inner // squeeze), nn.ReLU(inplace=True), nn.Hardsigmoid())]
        block = InvertedResidual(
            *layers,
            *(gates if gated else []),
            convolve(inner, outputs, kernel=1, activation=None),
            add=step == 1 and channels == outputs,
        )
        yield Step(f"features.{index}", block, f"features.{index}", outputs, stride)
        channels = outputs
    last = convolve(channels, 6 * channels, kernel=1, activation=swish)
    yield Step("features.12", last, "features.12", 6 * channels, stride)
    classifier = (nn.Linear(6 * channels, 1024), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1024, 1000))
    yield from head("classifier", nn.Sequential(*classifier))
