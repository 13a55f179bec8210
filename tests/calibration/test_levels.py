"""Errors by level of the pyramid: against PyTorch's own features, and where a break begins."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgead.bundle import read_bundle
from edgead.calibration.levels import level_errors
from edgead.calibration.quantize import Quantiser
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.export.graph import to_graph
from edgead.export.precision import to_fp16
from edgead.training.models import build


@pytest.fixture(scope="module")
def images(parts):
    return load_images(read_dataset(parts).train, 64, 64)[:6]


@pytest.fixture(scope="module")
def transformer(small, images):
    graph = to_graph(build("uniad", small["uniad"]).eval(), 64, 64, 8)
    return graph, Quantiser(graph, images)


def values(graph, name, images):
    """A tensor of a graph by ONNX Runtime, asked for beside its outputs."""
    model = onnx.load_from_string(graph)
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], {"image": images})[0]


def test_errors_are_those_of_the_joined_features(transformer, images):
    graph, quantiser = transformer
    quantised = quantiser.graph(quantiser.layers)
    found = level_errors(graph, quantised, images)
    joint = next(node for node in onnx.load_from_string(graph).graph.node if node.op_type == "Concat" and
                 len(node.input) == len(found) and node.attribute[0].i == 1)  # fmt: skip
    assert [level.name for level in found] == list(joint.input)
    for level in found:
        ours, theirs = (values(each, level.name, images) for each in (graph, quantised))
        assert level.shape == ours.shape[1:]
        expected = np.sqrt(np.mean(np.square(theirs - ours))) / ours.std()
        assert level.error == pytest.approx(expected, rel=0.05) and level.error > 0


def test_the_same_graph_has_no_error_and_half_precision_little(transformer, images):
    graph, quantiser = transformer
    assert all(level.error == 0 for level in level_errors(graph, graph, images))
    half = level_errors(graph, to_fp16(graph), images)
    mixed = level_errors(graph, to_fp16(quantiser.graph(quantiser.layers)), images)
    assert half and all(0 < level.error < 0.005 for level in half)
    assert all(level.error < other.error for level, other in zip(half, mixed, strict=True))


def test_an_error_shows_from_the_level_on_where_it_comes_in(transformer, images):
    graph, quantiser = transformer
    order = [node.name for node in onnx.load_from_string(graph).graph.node if node.name in quantiser.layers]
    levels = level_errors(graph, quantiser.graph({order[0]}), images)
    assert all(level.error > 0 for level in levels)
    behind = level_errors(graph, quantiser.graph({order[-1]}), images)
    assert all(level.error == 0 for level in behind)


def test_a_graph_that_joins_nothing_has_no_levels(fp32_bundle, images):
    graph = read_bundle(fp32_bundle).graph("fp32")
    assert level_errors(graph, graph, images) == ()
