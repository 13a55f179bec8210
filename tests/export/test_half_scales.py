"""Scales of Q/DQ in half precision: weights stay what they were, and runtimes agree on the graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgead.bundle import read_bundle
from edgead.calibration.quantize import quantize
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.openvino import OpenVinoEngine, compile_graph
from edgead.evaluation.difference import map_error
from edgead.export.half_scales import halve_scales
from edgead.export.precision import to_fp16


def model_of(codes, scale, axis=0):
    """x -> Q -> DQ -> MatMul with dequantised weights."""
    constants = {
        "w": codes,
        "ws": scale,
        "wz": np.zeros(scale.shape, np.int8),
        "xs": np.float32(0.0123456789),
        "xz": np.int8(0),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"], "d"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], "dw", axis=axis),
        helper.make_node("MatMul", ["d", "dw"], ["y"], "m"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, codes.shape[0]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, codes.shape[1]])
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def constants(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1]), st.floats(-6.5, 1))
def test_weights_are_rounded_again_and_no_worse(seed, axis, exponent):
    random = np.random.default_rng(seed)
    scale = (10**exponent * random.uniform(0.5, 2, (6, 5)[axis])).astype(np.float32)
    codes = random.integers(-127, 128, (6, 5)).astype(np.int8)
    model = model_of(codes, scale, axis)
    assert halve_scales(model) == {"q", "d", "dw"}
    after = constants(model)
    assert (after["ws"] == after["ws"].astype(np.float16)).all() and after["ws"].min() > 0
    assert after["xs"] == np.float16(0.0123456789)
    form = (-1, 1) if axis == 0 else (1, -1)
    before = codes * scale.reshape(form)
    found = after["w"] * after["ws"].reshape(form)
    # Half a step of rounding, and what the largest codes lose where the new scale does not reach as far.
    step, beyond = after["ws"].reshape(form), np.maximum(0, np.abs(before) - 127 * after["ws"].reshape(form))
    assert (np.abs(found - before) <= np.maximum(0.501 * step, 1.001 * beyond)).all()
    assert {opset.version for opset in model.opset_import} == {19}


def test_a_graph_without_quantised_layers_stays_what_it_is(fp32_bundle):
    model = onnx.load_from_string(read_bundle(fp32_bundle).graph("fp32"))
    before = model.SerializeToString(deterministic=True)
    assert halve_scales(model) == set()
    assert model.SerializeToString(deterministic=True) == before


@pytest.fixture(scope="module")
def graphs(fp32_bundle, parts):
    graph = read_bundle(fp32_bundle).graph("fp32")
    quantised = quantize(graph, load_images(read_dataset(parts).train, 64, 64)[:16])
    return {"fp32": graph, "int8": quantised, "mixed": to_fp16(quantised)}


def test_nothing_stands_between_dequantisation_and_layer(graphs):
    model = onnx.load_from_string(graphs["mixed"])
    sources = {name: node for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(layers) == 9
    assert all(sources[name].op_type == "DequantizeLinear" for node in layers for name in node.input[:2])


def test_every_runtime_computes_the_same_of_it(graphs, parts):
    images = load_images(read_dataset(parts).test, 64, 64)[:8]
    maps = {}
    for name, graph in graphs.items():
        with OnnxRuntimeEngine(graph, max_batch=8) as engine:
            maps[name] = engine.infer(images)["anomaly_map"]
        with OpenVinoEngine(compile_graph(graph), max_batch=8) as engine:
            maps[f"{name} on openvino"] = engine.infer(images)["anomaly_map"]
    errors = {name: map_error(maps["fp32"], found) for name, found in maps.items()}
    assert errors["mixed"] < 1.5 * errors["int8"] and errors["mixed on openvino"] < 1.5 * errors["int8 on openvino"]
    assert map_error(maps["mixed"], maps["mixed on openvino"]) < errors["int8"]
