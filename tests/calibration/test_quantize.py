"""INT8 graphs: where Q/DQ stand, what the ranges cover, and that the answers stay what they were."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgead.bundle import read_bundle
from edgead.calibration.quantize import LAYERS, METHODS, quantize
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import CalibrationError


@pytest.fixture(scope="module")
def graph(fp32_bundle):
    return read_bundle(fp32_bundle).graph("fp32")


@pytest.fixture(scope="module")
def good(parts):
    return load_images(read_dataset(parts).train, 64, 64)


@pytest.fixture(scope="module")
def quantised(graph, good):
    return {method: quantize(graph, good[:12], method=method) for method in METHODS}


def producers(model):
    return {name: node for node in model.graph.node for name in node.output}


def run(graph, images):
    with OnnxRuntimeEngine(graph, max_batch=len(images)) as engine:
        return engine.infer(images)


@pytest.mark.parametrize("method", METHODS)
def test_every_layer_reads_int8_and_nothing_else_does(quantised, method):
    model = onnx.load_from_string(quantised[method])
    source = producers(model)
    layers = [node for node in model.graph.node if node.op_type in LAYERS]
    assert len(layers) == 9
    for layer in layers:
        assert source[layer.input[0]].op_type == source[layer.input[1]].op_type == "DequantizeLinear"
    dequantised = {name for name, node in source.items() if node.op_type == "DequantizeLinear"}
    assert {node.op_type for node in model.graph.node if dequantised & set(node.input)} <= set(LAYERS)


def test_scales_are_symmetric_and_weights_have_one_for_each_channel(quantised):
    model = onnx.load_from_string(quantised["minmax"])
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert (tensors[node.input[2]] == 0).all()
            assert tensors[node.input[2]].dtype == np.int8
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            weight = tensors[node.input[0]]
            assert weight.dtype == np.int8 and tensors[node.input[1]].shape == (weight.shape[0],)
            assert np.abs(weight.astype(int)).max() <= 127
    biases = [node.input[2] for node in model.graph.node if node.op_type == "Conv"]
    assert all(tensors[name].dtype == np.float32 for name in biases)


def test_the_first_layer_covers_every_pixel_value(graph, good, quantised):
    """A spot brighter than any good part must not be clipped to the brightest good pixel."""
    dim = (good // 4).astype(np.uint8)
    for calibrated in (quantised["minmax"], quantize(graph, dim[:4])):
        model = onnx.load_from_string(calibrated)
        first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
        scale = next(t for t in model.graph.initializer if t.name == first.input[1])
        assert numpy_helper.to_array(scale) == pytest.approx(1 / 127, rel=0.01)  # -1..1 in front of the auto-encoder


@pytest.mark.parametrize("method", METHODS)
def test_defects_keep_their_scores(graph, parts, quantised, method):
    samples = read_dataset(parts).test
    images = load_images(samples, 64, 64)
    before, after = run(graph, images), run(quantised[method], images)
    bad = np.array([sample.anomalous for sample in samples])
    np.testing.assert_allclose(after["score"][bad], before["score"][bad], rtol=0.25)
    assert after["score"][bad].min() > after["score"][~bad].max()


def test_the_same_images_give_the_same_bytes(graph, good, quantised):
    assert quantize(graph, good[:12], method="percentile") == quantised["percentile"]


def test_methods_differ(quantised):
    """The entropy search once had a single threshold to choose from, and was the whole range under another name."""
    assert len(set(quantised.values())) == len(METHODS)


def test_the_input_graph_is_not_touched(graph, good):
    before = bytes(graph)
    quantize(graph, good[:2])
    assert graph == before


def test_bad_calls_are_refused(graph, good):
    with pytest.raises(CalibrationError, match="no calibration method"):
        quantize(graph, good[:2], method="guess")
    with pytest.raises(CalibrationError, match="no calibration images"):
        quantize(graph, good[:0])


def test_a_graph_without_layers_is_refused():
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", 4, 4, 3])
    score = onnx.helper.make_tensor_value_info("score", onnx.TensorProto.FLOAT, ["N"])
    nodes = [
        onnx.helper.make_node("Cast", ["image"], ["pixels"], "cast", to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceMax", ["pixels", "axes"], ["score"], "max", keepdims=0),
    ]
    axes = numpy_helper.from_array(np.array([1, 2, 3]), "axes")
    graph = onnx.helper.make_graph(nodes, "flat", [image], [score], [axes])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    with pytest.raises(CalibrationError, match="no layers"):
        quantize(model.SerializeToString(), np.zeros((2, 4, 4, 3), np.uint8))
