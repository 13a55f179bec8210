"""Convolutional backbones by name, tapped at named stages, with torchvision's state-dict keys.

torchvision's published ImageNet checkpoints load unchanged; torchvision itself is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from edgead.errors import TrainingError
from edgead.training.backbones.base import Backbone, Network, Spec, Step, whole
from edgead.training.backbones.efficientnet import efficientnet
from edgead.training.backbones.mobilenet_v2 import mobilenet_v2
from edgead.training.backbones.mobilenet_v3 import mobilenet_v3_small
from edgead.training.backbones.resnet import resnet
from edgead.training.backbones.vgg import vgg
from edgead.training.backbones.weights import IMAGENET, fingerprint, load_weights, state_digest


def _features(*indices: int) -> tuple[str, ...]:
    return tuple(f"features.{index}" for index in indices)


def _efficientnet(
    name: str, scale: tuple[float, float, float], parameters: int, weights: str, *, same: tuple[int, ...] = ()
) -> Spec:
    # UniAD's authors tap blocks 1, 5, 9 and 21 of B4, the last ones of these stages.
    steps = partial(efficientnet, *scale, same=same)
    return Spec(name, _features(*range(9)), _features(1, 2, 3, 5), parameters, steps, weights)


def _resnet(name: str, parameters: int, steps: Callable[[], Iterator[Step]], weights: str) -> Spec:
    layers = ("layer1", "layer2", "layer3", "layer4")
    return Spec(name, ("stem", *layers), layers[:3], parameters, steps, weights)


def _vgg(name: str, convolutions: tuple[int, ...], parameters: int, weights: str) -> Spec:
    blocks = ("block1", "block2", "block3", "block4", "block5")
    return Spec(name, blocks, blocks[1:4], parameters, partial(vgg, convolutions), weights)


# MobileNets are tapped at the last block of each stride from 4 on.
_SPECS = (
    _efficientnet("efficientnet_b0", (1.0, 1.0, 0.2), 5_288_548, "efficientnet_b0_rwightman-7f5810bc.pth"),
    _efficientnet("efficientnet_b4", (1.4, 1.8, 0.4), 19_341_616, "efficientnet_b4_rwightman-23ab8bcd.pth"),
    # As UniAD's authors have it: their code fixes TensorFlow's padding for 380 pixels, whatever the image's size. Stage
    # 3 then reads 95, an odd number, which TensorFlow pads alike on both sides. torchvision's weights fit, but were
    # trained with the padding of efficientnet_b4.
    _efficientnet(
        "efficientnet_b4_same",
        (1.4, 1.8, 0.4),
        19_341_616,
        "efficientnet_b4_rwightman-23ab8bcd.pth",
        same=(0, 2, 4, 6),
    ),
    _resnet("resnet18", 11_689_512, partial(resnet, (2, 2, 2, 2), bottleneck=False), "resnet18-f37072fd.pth"),
    _resnet("resnet50", 25_557_032, partial(resnet, (3, 4, 6, 3), bottleneck=True), "resnet50-0676ba61.pth"),
    _resnet(
        "wide_resnet50_2",
        68_883_240,
        partial(resnet, (3, 4, 6, 3), bottleneck=True, widening=2),
        "wide_resnet50_2-95faca4d.pth",
    ),
    Spec(
        "mobilenet_v2",
        _features(*range(19)),
        _features(3, 6, 13, 17),
        3_504_872,
        mobilenet_v2,
        "mobilenet_v2-b0353104.pth",
    ),
    Spec(
        "mobilenet_v3_small",
        _features(*range(13)),
        _features(1, 3, 8, 11),
        2_542_856,
        mobilenet_v3_small,
        "mobilenet_v3_small-047dcff4.pth",
    ),
    _vgg("vgg16", (2, 2, 3, 3, 3), 138_357_544, "vgg16-397923af.pth"),
    _vgg("vgg19", (2, 2, 4, 4, 4), 143_667_240, "vgg19-dcbb9e9d.pth"),
)
BACKBONES = {spec.name: spec for spec in _SPECS}
"""Name -> what the backbone offers."""


def build_backbone(name: str, taps: Sequence[str] | None = None, *, trainable: bool = False) -> Backbone:
    """A backbone with random weights, as deep as its deepest tap.

    taps: names from `BACKBONES[name].taps`, shallow to deep; by default its `default_taps`. trainable: whether its
    parameters take gradients and its batch norms follow `train()`. Raises TrainingError for an unknown name or tap, and
    for taps out of order.
    """
    spec = _spec(name)
    chosen = spec.default_taps if taps is None else tuple(taps)
    unknown = [tap for tap in chosen if tap not in spec.taps]
    if unknown:
        raise TrainingError(f"no tap {', '.join(unknown)}", f"backbone {name}", f"choose from {', '.join(spec.taps)}")
    if not chosen or list(chosen) != sorted(set(chosen), key=spec.taps.index):
        raise TrainingError(
            f"the taps {', '.join(chosen)} are not in increasing depth" if chosen else "no tap is asked for",
            f"backbone {name}",
            f"give each tap once, in the order {', '.join(spec.taps)}",
        )
    return Backbone(spec, chosen, trainable=trainable)


def whole_network(name: str, device: torch.device | str = "meta") -> Network:
    """The network that a backbone is cut from, classifier included. On the meta device it takes no memory, and tells
    the keys and shapes that a weights file may have. Raises TrainingError for an unknown name."""
    return whole(_spec(name), device)


def _spec(name: str) -> Spec:
    if name not in BACKBONES:
        raise TrainingError(f"no backbone {name!r}", "training", f"choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name]


__all__ = [
    "BACKBONES",
    "IMAGENET",
    "Backbone",
    "Network",
    "Spec",
    "build_backbone",
    "fingerprint",
    "load_weights",
    "state_digest",
    "whole_network",
]
