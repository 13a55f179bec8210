"""The fp16 graph: half precision in the network, single around it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.inliner
import pytest
import torch
from onnx import TensorProto
from torch import nn

from edgead.bundle import read_bundle
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.openvino import OpenVinoEngine, compile_graph
from edgead.errors import ExportError
from edgead.export.graph import to_graph
from edgead.export.precision import NETWORK, network_nodes, to_fp16
from edgead.training.ciede2000 import ciede2000
from edgead.training.color import srgb_to_lab
from edgead.training.models import build


@pytest.fixture(scope="module")
def graphs(fp32_bundle):
    graph = read_bundle(fp32_bundle).graph("fp32")
    return graph, to_fp16(graph)


@pytest.fixture(scope="module")
def transformer(small):
    """UniAD: a network of convolutions, attention and layer norms, and distances behind it."""
    torch.manual_seed(0)
    model = build("uniad", small["uniad"]).eval()
    graph = to_graph(model, model.options.height, model.options.width, 4)
    return graph, to_fp16(graph)


class Recolored(nn.Module):
    """Predicts a* and b* from L*, and judges the difference from the true ones by one more layer."""

    def __init__(self):
        super().__init__()
        self.encode, self.predict, self.judge = nn.Conv2d(1, 8, 3, 1, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(3, 1, 3, 1, 1)

    def forward(self, image):
        lab = srgb_to_lab(image.float().permute(0, 3, 1, 2) / 255)
        lightness = lab[:, :1]
        ab, context = self.predict(self.encode(lightness / 100).relu()).split(2, dim=1)
        difference = ciede2000(lab, torch.cat([lightness, 128 * ab.tanh()], dim=1))
        anomaly_map = self.judge(torch.cat([difference, context], dim=1))[:, 0].abs() + 0.0
        return anomaly_map, anomaly_map.amax(dim=(1, 2))


@pytest.fixture(scope="module")
def recolored():
    torch.manual_seed(0)
    model = Recolored()
    for layer in (model.predict, model.judge):  # predicts gray, and sums what differs from it
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    nn.init.ones_(model.judge.weight[:, :1])
    graph = to_graph(model, 16, 16, 4)
    return graph, to_fp16(graph)


def types(model):
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def test_layers_compute_in_half_and_the_tail_in_single(graphs):
    model = onnx.load_from_string(graphs[1])
    kind = types(model) | {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in NETWORK:
            assert {kind[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}, node.name
    tail = [
        node for node in model.graph.node if node.op_type in ("Sub", "Pow", "AveragePool", "ReduceMax", "ReduceMean")
    ]
    assert len(tail) >= 4
    for node in tail:
        floats = {kind[name] for name in (*node.input, *node.output) if kind.get(name) != TensorProto.INT64}
        assert floats == {TensorProto.FLOAT}, node.name


def test_values_cross_only_where_the_network_begins_and_ends(graphs):
    casts = [node for node in onnx.load_from_string(graphs[1]).graph.node if node.op_type == "Cast"]
    assert len(casts) == 3  # uint8 -> float32, float32 -> float16, float16 -> float32


def test_the_file_is_half_as_large_and_the_answers_the_same(graphs, parts):
    assert len(graphs[1]) < 0.6 * len(graphs[0])
    images = load_images(read_dataset(parts).test, 64, 64)
    answers = []
    for graph in graphs:
        with OnnxRuntimeEngine(graph, max_batch=len(images)) as engine:
            answers.append(engine.infer(images))
    for name in ("score", "anomaly_map"):
        scale = np.abs(answers[0][name]).max()
        assert np.abs(answers[0][name] - answers[1][name]).max() < 5e-3 * scale
    assert answers[1]["score"].dtype == np.float32


def test_attention_takes_half_and_weighs_in_single(transformer):
    model = onnx.load_from_string(transformer[1])
    kind = types(model)
    attention = [node for node in model.graph.node if node.op_type == "NeighborMaskedAttention"]
    assert len(attention) == 3
    for node in attention:
        assert {kind[name] for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}
    inlined = onnx.inliner.inline_local_functions(model)
    kind = types(inlined)
    single = [node for node in inlined.graph.node if node.op_type in ("Softmax", "LayerNormalization")]
    assert len(single) == 3 + 6
    for node in single:
        assert kind[node.input[0]] == kind[node.output[0]] == TensorProto.FLOAT


def test_the_distance_of_features_is_taken_in_single(transformer):
    model = onnx.load_from_string(transformer[1])
    kind = types(model)
    (sum_of_squares,) = (node for node in model.graph.node if node.op_type == "ReduceSum")
    (square,) = (node for node in model.graph.node if sum_of_squares.input[0] in node.output)
    (difference,) = (node for node in model.graph.node if square.input[0] in node.output)
    assert difference.op_type == "Sub"
    for node in (difference, square, sum_of_squares):
        assert {kind[name] for name in node.output} == {TensorProto.FLOAT}
    assert {kind[name] for name in difference.input} == {TensorProto.FLOAT}


def test_a_transformer_in_half_answers_the_same(transformer):
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    engines = [OnnxRuntimeEngine(graph, max_batch=4) for graph in transformer]
    engines.append(OpenVinoEngine(compile_graph(transformer[1]), max_batch=4))
    answers = []
    for engine in engines:
        with engine:
            answers.append(engine.infer(images))
    for name in ("score", "anomaly_map"):
        scale = np.abs(answers[0][name]).max()
        for half in answers[1:]:
            assert half[name].dtype == np.float32
            assert np.abs(answers[0][name] - half[name]).max() < 2e-3 * scale


def test_colors_are_compared_in_single(recolored):
    model = onnx.load_from_string(recolored[1])
    kind = types(model)
    producers = {name: node for node in model.graph.node for name in node.output}
    (difference,) = (node for node in model.graph.node if node.op_type == "CIEDE2000")
    before, layers = list(difference.input), set()
    for name in before:  # grows on the way
        node = producers.get(name)
        if node is None:
            continue
        if node.op_type in NETWORK:
            layers.add(node.name)
            continue
        halves = [each for each in node.input if kind.get(each) == TensorProto.FLOAT16]
        assert not halves or (node.op_type == "Cast" and producers[halves[0]].op_type in NETWORK), node.name
        before += node.input
    predicting = [node for node in model.graph.node if node.op_type == "Conv"][1]
    assert layers == {predicting.name}
    assert {kind[name] for name in (*difference.input, *difference.output)} == {TensorProto.FLOAT}
    (judging,) = (node for node in model.graph.node if node.op_type == "Concat" and kind[node.output[0]] == 10)
    assert any(judging.output[0] in node.input for node in model.graph.node if node.op_type == "Conv")


def test_a_graph_in_half_sees_no_difference_of_lightness_where_there_is_none(recolored):
    """The prediction for grays is gray. L* in half precision would be wrong by up to 0.03, and the difference with it;
    scikit-image's grays are off by less than 0.01 in a* and b*."""
    grays = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    answers = []
    for graph in recolored:
        with OnnxRuntimeEngine(graph, max_batch=1) as engine:
            answers.append(engine.infer(grays)["anomaly_map"])
    assert 0 < answers[0].max() < 9 * 0.015  # nine neighbours
    np.testing.assert_allclose(answers[1], answers[0], rtol=5e-3, atol=1e-5)


def test_the_same_graph_gives_the_same_bytes(graphs):
    assert to_fp16(graphs[0]) == graphs[1]


def test_a_weight_too_large_for_half_is_refused(graphs):
    model = onnx.load_from_string(graphs[0])
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("weight"))
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] = 1e6
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    with pytest.raises(ExportError, match="too large for fp16"):
        to_fp16(model.SerializeToString())


def test_a_graph_without_layers_is_refused():
    image = onnx.helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 4, 4, 3])
    score = onnx.helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 4, 4, 3])
    node = onnx.helper.make_node("Cast", ["image"], ["score"], "cast", to=TensorProto.FLOAT)
    graph = onnx.helper.make_graph([node], "flat", [image], [score])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    assert network_nodes(model) == set()
    with pytest.raises(ExportError, match="no layers"):
        to_fp16(model.SerializeToString())
