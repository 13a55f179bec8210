"""What every backbone is: steps run one after the other, some of them tapped, under torchvision's names.

A family yields its `Step`s lazily, from the first convolution to the classifier. A `Backbone` takes them up to its
deepest tap and leaves the rest unbuilt; a `Network` takes all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Step(NamedTuple):
    """path: where torchvision's state dict keeps the module. tap: the name under which its output can be asked for, or
    empty; then channels and stride (input pixels per output pixel) of that output."""

    path: str
    module: nn.Module
    tap: str = ""
    channels: int = 0
    stride: int = 0


@dataclass(frozen=True)
class Spec:
    """A backbone by name. taps: all there are, shallow to deep. parameters: how many torchvision publishes for the
    whole network, classifier included. steps: builds that network, one step at a time. weights: the file of
    ImageNet weights that torchvision publishes, its digest in its name."""

    name: str
    taps: tuple[str, ...]
    default_taps: tuple[str, ...]
    parameters: int
    steps: Callable[[], Iterator[Step]]
    weights: str


class Chain(nn.Module):
    """Steps in a row, each module at its path, so that the state dict has torchvision's keys. paths: of the
    modules, in order."""

    def __init__(self, steps: Iterable[Step]) -> None:
        super().__init__()
        self.paths: list[str] = []
        for step in steps:
            folder, _, leaf = step.path.rpartition(".")
            if folder and folder not in self._modules:
                self.add_module(folder, nn.Sequential())
            self.get_submodule(folder).add_module(leaf, step.module)
            self.paths.append(step.path)
        _initialise(self)


class Network(Chain):
    """A whole network with its classifier."""

    def forward(self, image: Tensor) -> Tensor:
        """float [N, 3, H, W], normalised -> logits [N, 1000]."""
        for path in self.paths:
            image = self.get_submodule(path)(image)
        return image


class Backbone(Chain):
    """A network cut behind its deepest tap, answering with the outputs at its taps.

    taps, channels, strides: one entry for each tap, shallow to deep. A frozen backbone stays in eval mode whatever the
    model around it does, so that its batch norms keep their statistics; gradients still flow through it to its input.
    """

    def __init__(self, spec: Spec, taps: tuple[str, ...], *, trainable: bool) -> None:
        tapped: list[Step] = []

        def needed() -> Iterator[Step]:
            for step in spec.steps():
                if step.tap in taps:
                    tapped.append(step)
                yield step
                if step.tap == taps[-1]:
                    return

        super().__init__(needed())
        self.spec, self.trainable = spec, trainable
        self.taps = tuple(step.tap for step in tapped)
        self.channels = tuple(step.channels for step in tapped)
        self.strides = tuple(step.stride for step in tapped)
        self._tapped = frozenset(step.path for step in tapped)
        if not trainable:
            self.requires_grad_(False)
            self.eval()

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode and self.trainable)
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        """float [N, 3, H, W], normalised as the weights want it -> for each tap [N, channels, H / stride, W / stride],
        rounded up (in VGG down)."""
        features = []
        for path in self.paths:
            image = self.get_submodule(path)(image)
            if path in self._tapped:
                features.append(image)
        return features


def whole(spec: Spec, device: torch.device | str = "meta") -> Network:
    """The whole network; on the meta device it has keys and shapes, and takes no memory."""
    with torch.device(device):
        return Network(spec.steps())


def _initialise(network: nn.Module) -> None:
    """He et al., "Delving Deep into Rectifiers" (ICCV 2015), fan-out. A group counts its own outputs only: counting all
    of a depthwise convolution, as torchvision does, lets the features of a frozen random network fade to nothing."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
