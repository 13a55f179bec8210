"""Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015),
configurations D and E, without batch norm."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from edgead.training.backbones.base import Step
from edgead.training.backbones.layers import head

_WIDTHS = (64, 128, 256, 512, 512)


def vgg(
    convolutions: tuple[int, ...], *, inputs: int = 3, gate: Callable[[int], nn.Module] | None = None
) -> Iterator[Step]:
    """Steps of the network with so many convolutions in each of its five blocks. Taps: the last activation of each
    block, before its pooling, and the pooling. inputs: channels of the image. gate: makes, for so many channels, the
    module that follows each activation of a convolution."""
    channels, index = inputs, 0
    for block, (width, count) in enumerate(zip(_WIDTHS, convolutions, strict=True)):
        for number in range(1, count + 1):
            yield Step(f"features.{index}", nn.Conv2d(channels, width, 3, padding=1))
            relu = nn.ReLU(inplace=True)
            activation = f"features.{index + 1}", nn.Sequential(relu, gate(width)) if gate else relu
            yield Step(*activation, f"block{block + 1}", width, 2**block) if number == count else Step(*activation)
            channels, index = width, index + 2
        yield Step(f"features.{index}", nn.MaxPool2d(2), f"pool{block + 1}", channels, 2 ** (block + 1))
        index += 1
    hidden = (nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout())
    yield from head("classifier", nn.Sequential(*hidden, nn.Linear(4096, 1000)), pooled=7)
