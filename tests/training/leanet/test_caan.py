"""CAAN: the parameters of Table 1 and Table 3, the points' shapes, and what the networks are made of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgead.errors import TrainingError
from edgead.training.leanet.caan import CAANS, MobileNetCaan, ResNetCaan, build_caan

CHANNELS = {"mobilenet": (16, 16, 24, 48, 96), "resnet": (64, 64, 128, 256, 512)}  # Table 1

# Table 2 of MobileNetV3's paper: kernel, expanded width, outputs, squeeze and excite.
SMALL = [
    (3, 16, 16, True),
    (3, 72, 24, False),
    (3, 88, 24, False),
    (5, 96, 40, True),
    (5, 240, 40, True),
    (5, 240, 40, True),
    (5, 120, 48, True),
    (5, 144, 48, True),
    (5, 288, 96, True),
    (5, 576, 96, True),
    (5, 576, 96, True),
]


class Count:
    """Parameters added up from layers, as Keras counts them: with `moving`, batch norm has two more each channel."""

    def __init__(self, *, moving, biases):
        self.total, self.norm, self.biases = 0, 4 if moving else 2, biases

    def conv(self, inputs, outputs, kernel=1):
        self.total += kernel * kernel * inputs * outputs + self.biases * outputs + self.norm * outputs

    def linear(self, inputs, outputs):
        self.total += inputs * outputs + outputs


def mobilenet_count(moving, *, head=True, squeeze=1):
    count = Count(moving=moving, biases=True)
    count.conv(1, 16, 3)
    channels = 16
    for kernel, inner, outputs, gated in SMALL:
        if inner != channels:
            count.conv(channels, inner)
        count.conv(1, inner, kernel)  # depthwise
        if gated:
            count.linear(inner, inner // squeeze)
            count.linear(inner // squeeze, inner)
        count.conv(inner, outputs)
        channels = outputs
    count.conv(96, 576)
    if head:
        count.linear(576, 1280)
        count.linear(1280, 2)
    return count.total


def resnet_count(moving, *, biases=False, projections=True, bare=False):
    count = Count(moving=moving, biases=biases)
    count.conv(1, 64, 7)
    channels = 64
    for outputs in (64, 128, 256, 512):
        count.conv(channels, outputs, 3)
        count.conv(outputs, outputs, 3)
        if projections and channels != outputs:
            count.conv(channels, outputs)
            count.total -= count.norm * outputs * bare
        channels = outputs
    count.linear(512, 2)
    return count.total


def found(network):
    trainable = sum(parameter.numel() for parameter in network.parameters())
    moving = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    return trainable, trainable + moving


def test_the_mobilenet_has_the_papers_parameters():
    counts = found(MobileNetCaan())
    assert counts == (mobilenet_count(False), mobilenet_count(True)) == (3_029_458, 3_041_570)
    assert round(counts[1] / 1e6, 3) == 3.042  # Table 1
    assert counts == found(MobileNetCaan(relu_only=True))
    # A squeeze to a quarter, as MobileNetV3 has it, is out of reach.
    assert mobilenet_count(True, squeeze=4) < 1.7e6
    # Table 3 gives 13.5M and 168.0M together with networks of 11.2M and 165.7M: 2.3M, all but the last two layers.
    assert round(mobilenet_count(True, head=False) / 1e6, 1) == 2.3


def test_the_resnet_has_the_parameters_of_table_3():
    counts = found(ResNetCaan())
    assert counts == (resnet_count(False), resnet_count(True)) == (4_900_546, 4_906_306)
    assert round(counts[1] / 1e6, 1) == 4.9  # 16.1M - 11.2M and 170.6M - 165.7M
    # As the authors' code has it, with biases in front of batch norms and none behind a projection: the same to 0.001M.
    authors = resnet_count(True, biases=True, bare=True)
    assert authors == 4_905_602 and round(authors / 1e6, 3) == round(counts[1] / 1e6, 3) == 4.906
    # Table 1's 4.491M is less than the convolutions that it lists have.
    listed = [layer.weight.numel() for name, layer in ResNetCaan().named_modules() if name.endswith(("conv1", "conv2"))]
    assert (len(listed), sum(listed)) == (9, 4_721_728)


@pytest.mark.parametrize("name", CAANS)
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (256, 256), (72, 50)])
def test_points_lie_at_strides_2_to_32(name, size):
    with torch.device("meta"):
        network = build_caan(name).eval()
        features, logits = network(torch.empty(2, 1, *size))
    assert (network.channels, network.strides) == (CHANNELS[name], (2, 4, 8, 16, 32))
    expected = [
        (2, c, -(-size[0] // s), -(-size[1] // s)) for c, s in zip(CHANNELS[name], network.strides, strict=True)
    ]
    assert [tuple(each.shape) for each in features] == expected
    assert tuple(logits.shape) == (2, 2)


def test_activations_are_mobilenets_or_all_relu():
    published, relu = MobileNetCaan(), MobileNetCaan(relu_only=True)
    kinds = [type(module) for module in published.modules()]
    # The stem, two in each of 8 blocks, the last convolution and the classifier; ReLU in 3 blocks and in 9 gates.
    assert (kinds.count(nn.Hardswish), kinds.count(nn.ReLU)) == (19, 14)
    kinds = [type(module) for module in relu.modules()]
    assert (kinds.count(nn.Hardswish), kinds.count(nn.ReLU)) == (0, 33)
    relu.load_state_dict(published.state_dict())
    anomaly_map = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert published.eval()(anomaly_map)[0][0].min() < 0 <= relu.eval()(anomaly_map)[0][0].min()


@pytest.mark.parametrize("name", CAANS)
def test_every_parameter_learns_from_the_logits(name):
    torch.manual_seed(0)
    network = build_caan(name)
    network(torch.rand(4, 1, 64, 64))[1].square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    biases = {f"{name}.bias" for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None}
    state = network.state_dict()
    assert all(not state[name].any() for name in biases)


def test_an_unknown_network_is_refused():
    with pytest.raises(TrainingError, match=r"'vgg'.*mobilenet, resnet"):
        build_caan("vgg")
