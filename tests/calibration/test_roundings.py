"""Which layers INT8 would spoil: found by an independent computation in NumPy, and kept in float."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgead.calibration.quantize import quantize
from edgead.calibration.roundings import roundings
from edgead.errors import CalibrationError
from edgead.export.graph import to_graph


class Detector(nn.Module):
    """Two 1x1 convolutions and a linear layer; `scales` makes channels of the first one small."""

    def __init__(self, scales=(1.0, 1.0, 1.0, 1.0)) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1, groups=4), nn.Linear(4, 2)
        with torch.no_grad():
            for parameter in (*self.first.parameters(), *self.second.parameters()):
                parameter.abs_()  # no channel is cut off by a ReLU
            self.first.weight.mul_(torch.tensor(scales).view(4, 1, 1, 1))
            self.first.bias.mul_(torch.tensor(scales))

    def forward(self, image):
        pixels = image.to(torch.float32).permute(0, 3, 1, 2) / 255
        tokens = self.last(torch.relu(self.second(torch.relu(self.first(pixels)))).flatten(2).transpose(1, 2))
        anomaly_map = tokens.square().sum(dim=2).reshape(-1, 16, 16)
        return anomaly_map, anomaly_map.amax(dim=(1, 2))


def graph_of(**changes):
    torch.manual_seed(3)
    return to_graph(Detector(**changes).eval(), 16, 16, 4)


IMAGES = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)


def quantised_layers(graph):
    model = onnx.load_from_string(graph)
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    return [node.name for node in layers if producers.get(node.input[0]) == "DequantizeLinear"]


def test_errors_are_those_of_rounding_each_layers_own_values():
    graph = graph_of()
    quantised = quantize(graph, IMAGES)
    found = roundings(graph, quantised, IMAGES)
    errors = {name: rounding.error for name, rounding in found.items()}
    model = onnx.load_from_string(quantised)
    assert list(errors) == quantised_layers(quantised) and len(errors) == 3
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    scale = constants[producers[first.input[0]].input[1]]
    weights, weight_scale = (constants[name] for name in producers[first.input[1]].input[:2])
    pixels = IMAGES.astype(np.float32) / 255
    rounded = np.clip(np.round(pixels / scale), -128, 127) * scale
    torch.manual_seed(3)
    kernel, bias = (parameter.detach().numpy() for parameter in Detector().first.parameters())
    float_answer = np.einsum("nhwc,dc->nhwd", pixels, kernel[:, :, 0, 0]) + bias
    own = np.einsum("nhwc,dc->nhwd", rounded, (weights * weight_scale[:, None, None, None])[:, :, 0, 0]) + bias
    wrong, variance = np.square(own - float_answer).mean(axis=(0, 1, 2)), float_answer.var(axis=(0, 1, 2))
    assert errors[first.name] == pytest.approx(float(np.sqrt((wrong / variance).mean())), rel=1e-3)
    np.testing.assert_allclose(found[first.name].shift, (own - float_answer).mean(axis=(0, 1, 2)), atol=1e-6)


def test_what_rounding_adds_on_average_is_taken_from_the_bias():
    """The mean answer of the quantised first layer is that of the float one."""
    graph = graph_of()
    options = onnxruntime.SessionOptions()  # as the graph says: a fused convolution would round its bias too
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    means = []
    for model in map(onnx.load_from_string, (graph, quantize(graph, IMAGES))):
        first = next(node for node in model.graph.node if node.op_type == "Conv")
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(first.output[0], onnx.TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        means.append(session.run(None, {"image": IMAGES})[0].mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(means[1], means[0], atol=1e-6)


def test_a_layer_that_int8_would_spoil_stays_in_float():
    """Channels a thousand times smaller than another are rounded away in front of the second layer."""
    graph = graph_of(scales=(1.0, 1e-3, 1e-3, 1e-3))
    quantised = quantize(graph, IMAGES)
    errors = {name: rounding.error for name, rounding in roundings(graph, quantised, IMAGES).items()}
    names = list(errors)
    assert errors[names[1]] > 0.2 > max(errors[names[0]], errors[names[2]])
    mixed = quantize(graph, IMAGES, max_layer_error=0.2)
    assert quantised_layers(mixed) == [names[0], names[2]]
    assert quantize(graph, IMAGES, max_layer_error=1e6) == quantised


def test_where_every_layer_would_be_spoilt_there_is_nothing_to_quantise():
    with pytest.raises(CalibrationError, match="every layer"):
        quantize(graph_of(), IMAGES, max_layer_error=1e-6)
