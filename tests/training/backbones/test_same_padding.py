"""The padding of UniAD's authors: TensorFlow's "SAME" for an image of 380 pixels, and nothing else of the network."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgead.calibration.quantize import quantize
from edgead.export.graph import to_graph
from edgead.export.precision import to_fp16
from edgead.training.backbones import BACKBONES, build_backbone, whole_network
from edgead.training.backbones.layers import SameConv2d
from edgead.training.models import build

SAME, PLAIN = "efficientnet_b4_same", "efficientnet_b4"
TAPS = [f"features.{index}" for index in range(9)]


def entries(network):
    return [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]


def convolutions(network):
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def tensorflow(size, kernel, stride):
    """(before, after), as tf.nn's documentation defines "SAME"."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def padded_for_380_pixels():
    """torchvision's network with every padding replaced by the one that its input has at 380 pixels."""
    sizes = {}
    with torch.device("meta"):
        probe = build_backbone(PLAIN, TAPS)
        for name, module in convolutions(probe).items():
            module.register_forward_pre_hook(lambda _, inputs, name=name: sizes.update({name: inputs[0].shape[-1]}))
        probe(torch.empty(1, 3, 380, 380))
    backbone, uneven = build_backbone(PLAIN, TAPS), []
    for name, module in convolutions(backbone).items():
        before, after = tensorflow(sizes[name], module.kernel_size[0], module.stride[0])
        module.padding = (0, 0)
        module.register_forward_pre_hook(lambda _, inputs, sides=(before, after) * 2: F.pad(inputs[0], sides))
        if before != after:
            uneven.append(name)
    return backbone, uneven


@pytest.mark.parametrize("side", [64, 75])
def test_features_are_those_of_explicit_padding(side):
    torch.manual_seed(0)
    expected, uneven = padded_for_380_pixels()
    backbone = build_backbone(SAME, TAPS)
    for name, tensor in expected.state_dict().items():
        if name.endswith((".1.bias", "running_mean")):
            tensor.normal_(0, 0.2)
    backbone.load_state_dict(expected.state_dict())
    image = torch.randn(2, 3, side, side + 32)
    with torch.no_grad():
        for mine, theirs in zip(backbone(image), expected(image), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())
    assert uneven == [name for name, module in convolutions(backbone).items() if isinstance(module, SameConv2d)]
    assert uneven == ["features.0.0", *(f"features.{stage}.0.block.1.0" for stage in (2, 4, 6))]


@pytest.mark.parametrize("kernel", [3, 5, (3, 5)])
@pytest.mark.parametrize("side", [8, 9])
def test_a_convolution_is_the_sum_over_its_window(kernel, side):
    torch.manual_seed(0)
    layer = SameConv2d(2, 3, kernel, 2)
    image = torch.randn(1, 2, side, side + 2)
    weight, bias, pixels = layer.weight.detach().numpy(), layer.bias.detach().numpy(), image[0].numpy()
    expected = np.zeros(layer(image).shape[1:], np.float64)
    top, left = ((size - 2) // 2 for size in weight.shape[2:])
    for c, y, x in np.ndindex(expected.shape):
        expected[c, y, x] = bias[c]
        for i, v, u in np.ndindex(weight.shape[1:]):
            row, column = 2 * y + v - top, 2 * x + u - left
            if 0 <= row < side and 0 <= column < side + 2:
                expected[c, y, x] += weight[c, i, v, u] * pixels[i, row, column]
    assert expected.shape == (3, side // 2, side // 2 + 1)
    np.testing.assert_allclose(layer(image)[0].detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_everything_else_is_torchvisions():
    mine, theirs = whole_network(SAME), whole_network(PLAIN)
    assert entries(mine) == entries(theirs)
    assert sum(parameter.numel() for parameter in mine.parameters()) == BACKBONES[SAME].parameters
    for field in ("taps", "default_taps", "parameters", "weights"):
        assert getattr(BACKBONES[SAME], field) == getattr(BACKBONES[PLAIN], field)
    with torch.device("meta"):
        sizes = [[f.shape for f in build_backbone(name, TAPS)(torch.empty(1, 3, 224, 96))] for name in (SAME, PLAIN)]
    assert sizes[0] == sizes[1]


def test_exported_convolutions_pad_by_themselves():
    """A Pad of its own between DequantizeLinear and Conv would keep the convolution from running in INT8."""
    torch.manual_seed(0)
    options = {"backbone": SAME, "taps": "features.1,features.2", "height": 64, "width": 64, "hidden": 16, "heads": 2}
    options |= {"feature_height": 4, "feature_width": 4, "feed_forward": 16, "encoder_layers": 1, "decoder_layers": 1}
    model = build("uniad", {**options, "neighbor_height": 3, "neighbor_width": 3})
    graph = to_graph(model, 64, 64, 2)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    for precision, content in (("fp32", graph), ("fp16", to_fp16(graph)), ("int8", quantize(graph, images))):
        nodes = onnx.load_from_string(content).graph.node
        layers = [node for node in nodes if node.op_type == "Conv"]
        pads = [next(list(a.ints) for a in node.attribute if a.name == "pads") for node in layers]
        assert pads.count([0, 0, 1, 1]) == 2
        assert not any(node.op_type == "Pad" for node in nodes)
        if precision == "int8":
            producers = {output: node.op_type for node in nodes for output in node.output}
            assert {producers[name] for node in layers for name in node.input[:2]} == {"DequantizeLinear"}
