"""What INT8 costs each layer: against a second way to quantise a single layer."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import onnx
import pytest

from edgead.bundle import read_bundle
from edgead.calibration.quantize import Quantiser
from edgead.calibration.sensitivity import alone, sensitivities
from edgead.cli.layer_table import layer_table
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.evaluation.difference import map_error
from edgead.evaluation.layers import layer_picture
from edgead.export.graph import to_graph
from edgead.training.models import build


@pytest.fixture(scope="module", params=["lamp", "uniad"])
def detector(request, fp32_bundle, small, parts):
    """A float graph and a quantiser of it: convolutions alone, and a transformer behind them."""
    images = load_images(read_dataset(parts).train, 64, 64)[:8]
    if request.param == "lamp":
        graph = read_bundle(fp32_bundle).graph("fp32")
    else:
        graph = to_graph(build("uniad", small["uniad"]).eval(), 64, 64, 8)
    return graph, Quantiser(graph, images)


def maps(graph, images):
    with OnnxRuntimeEngine(graph, max_batch=len(images)) as engine:
        return engine.infer(images)["anomaly_map"]


def test_a_layer_alone_is_what_quantising_it_alone_gives(detector, parts):
    """The quantiser puts Q/DQ before one layer; the table takes them out of the graph that has them everywhere."""
    graph, quantiser = detector
    images = load_images(read_dataset(parts).test, 64, 64)[::4]
    reference = maps(graph, images)
    rows = sensitivities(graph, quantiser.graph(quantiser.layers), images)
    assert {row.name for row in rows} == quantiser.layers
    order = [node.name for node in onnx.load_from_string(graph).graph.node]
    assert [row.name for row in rows] == sorted(quantiser.layers, key=order.index)
    for row in rows[:: max(1, len(rows) // 6)]:
        assert row.map_error == pytest.approx(map_error(reference, maps(quantiser.graph({row.name}), images)), rel=0.02)


def test_the_graph_of_a_layer_alone_is_valid_and_quantises_nothing_else(detector):
    graph, quantiser = detector
    whole = quantiser.graph(quantiser.layers)
    before = bytes(whole)
    for name in sorted(quantiser.layers)[::3]:
        model = alone(graph, whole, name)
        onnx.checker.check_model(model, full_check=True)
        sources = {output: node.op_type for node in model.graph.node for output in node.output}
        reading = {
            node.name
            for node in model.graph.node
            if "DequantizeLinear" in {sources.get(source) for source in node.input} and node.op_type != "Constant"
        }
        assert reading == {name}
    assert whole == before


def test_kinds_and_weights_are_those_of_the_model(detector):
    graph, quantiser = detector
    rows = sensitivities(graph, quantiser.graph(quantiser.layers), np.zeros((1, 64, 64, 3), np.uint8))
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in onnx.load_from_string(graph).graph.initializer}
    nodes = {node.name: node for node in onnx.load_from_string(graph).graph.node}
    for row in rows:
        assert row.weights in {sizes.get(source) for source in nodes[row.name].input}
        assert row.kind.startswith(nodes[row.name].op_type)


def test_progress_counts_the_layers(detector):
    graph, quantiser = detector
    seen = []
    few = quantiser.graph(sorted(quantiser.layers)[:2])
    images = np.zeros((1, 64, 64, 3), np.uint8)
    sensitivities(graph, few, images, lambda what, done, total: seen.append((what, done, total)))
    assert seen == [("trying each layer", 1, 2), ("trying each layer", 2, 2)]


COLUMNS = ("name", "module", "kind", "weights", "rounding", "map_error", "float")
ROWS = [
    dict(zip(COLUMNS, row, strict=True))
    for row in (
        ("first", "", "Conv 3x3", 432, 0.02, 0.001, None),
        ("second", "<b>&", "MatMul", 9, 0.5, 0.4, "the budget"),
        ("n" * 80, "", "Gemm", 1, 0.0, None, None),
    )
]


def test_the_table_begins_with_the_costliest():
    lines = layer_table(ROWS)
    assert [line.split()[0] for line in lines] == ["layer", "second", "first", "n" * 80]
    assert lines[1].endswith("40.00%  float: the budget") and lines[2].endswith("0.10%") and lines[3].endswith("-")


def test_the_picture_is_a_drawing_with_every_layer():
    text = str(layer_picture(ROWS))
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "first" in words and "<b>&" in words and "40.00%" in words
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == len(ROWS)
    box = [float(side) for side in root.get("viewBox").split()]
    for element in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(element.get("x", 0)) + float(element.get("width")) <= box[2]
    assert ElementTree.fromstring(str(layer_picture([]))) is not None


def test_the_command_tells_and_draws(edgead, fp32_bundle, parts, tmp_path):
    from tests.lenient import OPTIONS

    bundle = tmp_path / "part.edgead"
    bundle.write_bytes(fp32_bundle.read_bytes())
    edgead("calibrate", bundle, "--data", parts, *OPTIONS)
    before = bundle.read_bytes()
    told = json.loads(edgead("sensitivity", bundle, "--data", parts, "--images", 3, "--json"))
    assert len(told["layers"]) == 9 and all(layer["map_error"] > 0 for layer in told["layers"])
    recorded = json.loads(edgead("sensitivity", bundle, "--json"))["layers"]
    assert [layer["name"] for layer in recorded] == [layer["name"] for layer in told["layers"]]
    assert all(layer["map_error"] is None and layer["float"] is None for layer in recorded)
    lines = edgead("sensitivity", bundle, "--data", parts, "--picture", tmp_path / "layers.svg").splitlines()
    assert len(lines) == 10 and "the map" in lines[0]
    assert ElementTree.parse(tmp_path / "layers.svg").getroot().tag.endswith("svg")
    assert bundle.read_bytes() == before
