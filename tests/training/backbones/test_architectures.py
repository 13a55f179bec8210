"""The backbones are torchvision's networks: their published sizes, their keys, and the numbers that they compute."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import types
import zlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from edgead.errors import TrainingError
from edgead.training.backbones import BACKBONES, build_backbone, whole_network
from edgead.training.backbones.layers import InvertedResidual

# Parameters as torchvision's documentation gives them; parameter tensors as KwangryeolPark/Model.Summary lists them;
# state-dict entries and the digest of their names and shapes, in order, from torchvision 0.29.1.
PUBLISHED = {
    "efficientnet_b0": (5288548, 213, 360, "069233acf584d15a"),
    "efficientnet_b4": (19341616, 418, 706, "32b520dbe6bac084"),
    "resnet18": (11689512, 62, 122, "9682c6fd405d8d70"),
    "resnet50": (25557032, 161, 320, "f398fe5f16a958c8"),
    "wide_resnet50_2": (68883240, 161, 320, "e373ab8541bccb2c"),
    "mobilenet_v2": (3504872, 158, 314, "1c18ba5f335c2735"),
    "mobilenet_v3_small": (2542856, 142, 244, "d4f1a3a644432ce3"),
    "vgg16": (138357544, 32, 32, "e6f6dcd7f6088440"),
    "vgg19": (143667240, 38, 38, "94ee89e212fdd2bb"),
}
NAMES = list(PUBLISHED)
ALL = list(BACKBONES)  # and one that torchvision does not have, see test_same_padding.py

# Entries as their files have them, for a reader who wants to look.
KEYS = {
    "efficientnet_b0": {"features.5.0.block.2.fc1.weight": (20, 480, 1, 1), "classifier.1.weight": (1000, 1280)},
    "efficientnet_b4": {"features.1.0.block.1.fc1.weight": (12, 48, 1, 1), "features.8.0.weight": (1792, 448, 1, 1)},
    "resnet18": {"layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer4.1.bn2.running_var": (512,)},
    "resnet50": {"conv1.weight": (64, 3, 7, 7), "layer4.2.conv3.weight": (2048, 512, 1, 1)},
    "wide_resnet50_2": {"layer1.0.conv2.weight": (128, 128, 3, 3), "fc.bias": (1000,)},
    "mobilenet_v2": {"features.1.conv.1.weight": (16, 32, 1, 1), "features.17.conv.3.running_mean": (320,)},
    "mobilenet_v3_small": {"features.1.block.1.fc1.weight": (8, 16, 1, 1), "classifier.3.weight": (1000, 1024)},
    "vgg16": {"features.28.weight": (512, 512, 3, 3), "classifier.6.bias": (1000,)},
    "vgg19": {"features.34.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 25088)},
}

SHAPES = {
    "efficientnet_b0": ((16, 24, 40, 112), (2, 4, 8, 16)),
    "efficientnet_b4": ((24, 32, 56, 160), (2, 4, 8, 16)),
    "efficientnet_b4_same": ((24, 32, 56, 160), (2, 4, 8, 16)),
    "resnet18": ((64, 128, 256), (4, 8, 16)),
    "resnet50": ((256, 512, 1024), (4, 8, 16)),
    "wide_resnet50_2": ((256, 512, 1024), (4, 8, 16)),
    "mobilenet_v2": ((24, 32, 96, 320), (4, 8, 16, 32)),
    "mobilenet_v3_small": ((16, 24, 48, 96), (4, 8, 16, 32)),
    "vgg16": ((128, 256, 512), (2, 4, 8)),
    "vgg19": ((128, 256, 512), (2, 4, 8)),
}

# Mean and standard deviation at the default taps of torchvision 0.29.1's networks, with the weights and the image of
# `filled`, in eval mode: what batch norm's epsilon, paddings, activations and gates do to the numbers.
FEATURES = {
    "efficientnet_b0": [
        (-0.1560904, 0.679827),
        (-0.05400899, 0.6992329),
        (0.1008244, 0.5483328),
        (-0.1096872, 0.5538524),
    ],
    "efficientnet_b4": [(-0.08338559, 0.8545745), (0.06592125, 1.23393), (0.1187197, 1.213534), (-0.1083684, 2.355895)],
    "resnet18": [(4.028248, 5.018327), (6.694366, 9.191952), (12.89906, 16.70763)],
    "resnet50": [(3.251483, 4.20089), (11.86504, 14.78879), (109.7627, 130.2448)],
    "wide_resnet50_2": [(5.067065, 6.509828), (20.59459, 25.7951), (144.9939, 166.6999)],
    "mobilenet_v2": [(0.1346999, 1.843444), (1.146581, 3.599852), (-0.3887003, 3.254839), (0.04669622, 1.822389)],
    "mobilenet_v3_small": [
        (-0.1247388, 0.6944388),
        (0.0903232, 1.197645),
        (-0.0031241, 0.5030474),
        (-0.0119020, 0.5439202),
    ],
    "vgg16": [(0.8033134, 1.135948), (1.067171, 1.637429), (1.257545, 1.918271)],
    "vgg19": [(0.8033134, 1.135948), (1.017318, 1.547733), (1.153848, 1.723401)],
}


def entries(network):
    return [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]


def filled(backbone):
    """Weights that depend on nothing but their names, and an image: NumPy's old generator is frozen for good."""
    for name, tensor in backbone.state_dict().items():
        random = np.random.RandomState(zlib.crc32(name.encode()))
        if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            values = random.uniform(0.3, 1.2, tensor.shape)
        elif tensor.ndim == 4:
            values = random.normal(0, (2 / tensor[0].numel()) ** 0.5, tensor.shape)
        else:
            values = random.normal(0, 0.2, tensor.shape)
        tensor.copy_(torch.from_numpy(np.asarray(values)))
    return torch.from_numpy(np.random.RandomState(0).normal(0, 1, (2, 3, 64, 64))).float()


@pytest.fixture(scope="session")
def torchvision_models():
    """torchvision's own networks. They are plain modules, so a torchvision whose compiled operators do not fit torch
    serves as well: its registrations for those are left out."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    for _ in range(2):
        with suppress(ImportError, RuntimeError):
            from torchvision import models

            return models
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
    pytest.skip("torchvision does not import")


class Reached(Exception):
    """The deepest tap has been seen; what comes after has no weights."""


def twin_features(models, backbone, image, *, train=False):
    """What torchvision's network with the backbone's weights computes at its taps. Nothing deeper takes memory."""
    with torch.device("meta"):
        twin = getattr(models, backbone.spec.name)().train(train)
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    assert not twin.load_state_dict(state, strict=False, assign=True).unexpected_keys
    places = list(backbone.taps)
    if backbone.spec.name.startswith("vgg"):
        before = [index - 1 for index, layer in enumerate(twin.features) if isinstance(layer, nn.MaxPool2d)]
        places = [f"features.{before[int(tap[-1]) - 1]}" for tap in backbone.taps]
    places = ["relu" if tap == "stem" else tap for tap in places]
    seen = []

    def keep(module, inputs, output):
        seen.append(output.detach().clone())
        if len(seen) == len(places):
            raise Reached

    for place in places:
        twin.get_submodule(place).register_forward_hook(keep)
    with suppress(Reached), torch.no_grad():
        twin(image)
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_network_is_the_published_one(name):
    network = whole_network(name)
    found = entries(network)
    digest = hashlib.sha256(repr(found).encode()).hexdigest()[:16]
    parameters = list(network.parameters())
    counts = sum(parameter.numel() for parameter in parameters), len(parameters), len(found), digest
    assert counts == PUBLISHED[name]
    assert BACKBONES[name].parameters == PUBLISHED[name][0]
    assert KEYS[name].items() <= dict(found).items()


@pytest.mark.parametrize("name", ALL)
def test_default_taps_have_their_channels_and_strides(name):
    with torch.device("meta"):
        backbone = build_backbone(name)
        features = backbone(torch.empty(2, 3, 64, 96))
    assert (backbone.channels, backbone.strides) == SHAPES[name]
    assert backbone.taps == BACKBONES[name].default_taps
    expected = [(2, c, 64 // s, 96 // s) for c, s in zip(*SHAPES[name], strict=True)]
    assert [tuple(feature.shape) for feature in features] == expected


@pytest.mark.parametrize("name", ALL)
def test_every_tap_tells_its_channels_and_stride(name):
    with torch.device("meta"):
        backbone = build_backbone(name, BACKBONES[name].taps)
        features = backbone(torch.empty(1, 3, 64, 64))
    assert backbone.taps == BACKBONES[name].taps
    expected = [(1, c, 64 // s, 64 // s) for c, s in zip(backbone.channels, backbone.strides, strict=True)]
    assert [tuple(feature.shape) for feature in features] == expected


@pytest.mark.parametrize("name", ALL)
def test_a_backbone_is_the_beginning_of_its_network(name):
    known = entries(whole_network(name))
    for tap in (BACKBONES[name].taps[0], BACKBONES[name].default_taps[-1], BACKBONES[name].taps[-1]):
        with torch.device("meta"):
            found = entries(build_backbone(name, [tap]))
        assert found == known[: len(found)]
        assert len(found) < len(known)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_torchvision_as_recorded(name):
    backbone = build_backbone(name)
    image = filled(backbone)
    with torch.no_grad():
        found = [(feature.mean().item(), feature.std().item()) for feature in backbone(image)]
    np.testing.assert_allclose(found, FEATURES[name], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_torchvision_where_it_is(torchvision_models, name):
    assert entries(whole_network(name)) == entries(torch_meta(torchvision_models, name))
    backbone = build_backbone(name, BACKBONES[name].taps)
    image = filled(backbone)
    with torch.no_grad():
        found = backbone(image)
    expected = twin_features(torchvision_models, backbone, image)
    assert len(found) == len(expected) == len(backbone.taps)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())


def torch_meta(models, name):
    with torch.device("meta"):
        return getattr(models, name)()


def test_training_is_that_of_torchvision_where_it_is(torchvision_models):
    backbone = build_backbone("efficientnet_b0", trainable=True)
    image = filled(backbone)
    backbone.train()
    torch.manual_seed(0)
    expected = twin_features(torchvision_models, backbone, image, train=True)
    torch.manual_seed(0)
    for mine, theirs in zip(backbone(image), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_uniad_and_adtr_find_their_blocks_in_efficientnet_b4():
    blocks = []
    for index, stage in enumerate(whole_network("efficientnet_b4").get_submodule("features")):
        blocks += [f"features.{index}"] * sum(isinstance(block, InvertedResidual) for block in stage)
    last = {tap: number for number, tap in enumerate(blocks)}
    assert [last[tap] for tap in BACKBONES["efficientnet_b4"].default_taps] == [1, 5, 9, 21]
    with torch.device("meta"):
        deepest = build_backbone("efficientnet_b4", ["features.7"])
    assert (last["features.7"], deepest.channels, deepest.strides) == (31, (448,), (32,))


def test_what_there_is_not_is_named():
    with pytest.raises(TrainingError, match=r"no backbone 'resnet19'.*resnet18, resnet50"):
        build_backbone("resnet19")
    with pytest.raises(TrainingError, match="no backbone"):
        whole_network("resnet19")
    with pytest.raises(TrainingError, match=r"no tap layer5.*resnet18.*stem, layer1"):
        build_backbone("resnet18", ["layer1", "layer5"])
    with pytest.raises(TrainingError, match="increasing depth"):
        build_backbone("resnet18", ["layer2", "layer1"])
    with pytest.raises(TrainingError, match="increasing depth"):
        build_backbone("resnet18", ["layer1", "layer1"])
    with pytest.raises(TrainingError, match="no tap is asked for"):
        build_backbone("resnet18", [])


def test_a_frozen_backbone_stays_frozen():
    backbone = build_backbone("mobilenet_v3_small")
    around = nn.ModuleList([backbone, nn.Dropout()]).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    image = torch.randn(2, 3, 32, 32, requires_grad=True)
    backbone(image)[-1].square().sum().backward()
    assert around[1].training and not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert image.grad.abs().sum() > 0  # a reconstruction in front of it can be trained through it


def test_a_trainable_backbone_trains():
    backbone = build_backbone("efficientnet_b0", ["features.2"], trainable=True)
    before = backbone.state_dict()["features.0.1.running_mean"].clone()
    backbone.train()
    backbone(torch.randn(4, 3, 32, 32))[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    assert not torch.equal(backbone.state_dict()["features.0.1.running_mean"], before)
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(backbone.eval()(image)[0], backbone(image)[0])


def test_stochastic_depth_leaves_out_samples_and_keeps_the_mean():
    block = InvertedResidual(nn.Identity(), add=True, drop=0.25).train()
    torch.manual_seed(0)
    result = block(torch.ones(4000, 2, 1, 1)).flatten(1)
    assert torch.equal(result[:, 0], result[:, 1])
    assert sorted(set(result[:, 0].tolist())) == pytest.approx([1.0, 1 + 1 / 0.75])
    assert abs(result.mean().item() - 2) < 4 * (0.25 / 0.75 / 4000) ** 0.5
    assert torch.equal(block.eval()(torch.ones(3, 2, 1, 1)), torch.full((3, 2, 1, 1), 2.0))


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "resnet18"])
def test_random_features_neither_fade_nor_explode(name):
    torch.manual_seed(0)
    with torch.no_grad():
        features = build_backbone(name)(torch.randn(2, 3, 64, 64))
    assert all(1e-3 < feature.std() < 1e2 for feature in features)
