"""A scale of one layer eight times what it should be: the gate refuses the engine, the roundings name the layer."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgead.bundle import read_bundle
from edgead.calibration.images import assign_roles
from edgead.calibration.quantize import Quantiser, quantize
from edgead.calibration.sensitivity import sensitivities
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines.openvino import OpenVinoEngine, compile_graph
from edgead.errors import GateRefused
from edgead.export.build import build_engine
from edgead.export.options import BuildOptions
from edgead.export.verification.gate import Budget
from edgead.export.verification.verifier import Verifier

ACTIVATIONS, WEIGHTS = 0, 1


def layers(graph):
    return [node for node in onnx.load_from_string(graph).graph.node if node.op_type == "Conv"]


def broken(quantised, layer, which):
    """The graph, where what `layer` reads as its input `which` is dequantised with eight times its scale."""
    model = onnx.load_from_string(quantised)
    producers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.name == layer)
    dequantise = producers[node.input[which]]
    scale = np.asarray(constants[dequantise.input[1]] * np.float32(8))
    dequantise.input[1] = f"{layer}:broken"
    model.graph.initializer.append(numpy_helper.from_array(scale, f"{layer}:broken"))
    return model.SerializeToString()


@pytest.fixture(scope="module")
def judge(fp32_bundle, parts):
    """What the gate says of a graph, run as build-engine runs it."""
    bundle = read_bundle(fp32_bundle)
    verifier = Verifier(bundle, assign_roles(read_dataset(parts), bundle.manifest))

    budget = Budget(max_drop=0.02, max_pixel_drop=0.02, max_aupro_drop=0.1)  # it was trained for seconds

    def faults(graph):
        with OpenVinoEngine(compile_graph(graph), max_batch=bundle.manifest.max_batch) as engine:
            return budget.faults(verifier.verify(engine).comparison)

    return faults


@pytest.fixture(scope="module")
def quantised(fp32_bundle, parts):
    return quantize(read_bundle(fp32_bundle).graph("fp32"), load_images(read_dataset(parts).train, 64, 64))


@pytest.mark.parametrize("which", [ACTIVATIONS, WEIGHTS], ids=["activations", "weights"])
def test_the_gate_refuses_whichever_layer_is_broken(judge, quantised, which):
    """Also where every bad part is still told from every good one: the map is not the detector's any more."""
    assert judge(quantised) == []
    for layer in layers(quantised):
        found = judge(broken(quantised, layer.name, which))
        assert any("the map is off by" in fault for fault in found), layer.name


def test_a_broken_layer_is_refused_and_leaves_no_trace(fp32_bundle, parts, tmp_path, monkeypatch):
    bundle = shutil.copy(fp32_bundle, tmp_path / "part.edgead")
    before = bundle.read_bytes()
    made = Quantiser.graph

    def breaking(quantiser, *arguments):
        return broken(made(quantiser, *arguments), "node_Conv_131", WEIGHTS)

    monkeypatch.setattr(Quantiser, "graph", breaking)
    with pytest.raises(GateRefused, match="the map is off by") as refusal:
        build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino"))
    assert "mixed" in refusal.value.todo
    assert bundle.read_bytes() == before


@pytest.mark.parametrize("which", [ACTIVATIONS, WEIGHTS], ids=["activations", "weights"])
def test_the_table_names_whichever_layer_is_broken(fp32_bundle, parts, quantised, which):
    graph, images = read_bundle(fp32_bundle).graph("fp32"), load_images(read_dataset(parts).test, 64, 64)[::2]
    for layer in layers(graph):
        rows = sensitivities(graph, broken(quantised, layer.name, which), images)
        assert len(rows) == 9
        for measure in ("rounding", "map_error"):
            errors = {row.name: getattr(row, measure) for row in rows}
            assert max(errors, key=errors.__getitem__) == layer.name
            assert errors.pop(layer.name) > 5 * max(errors.values())
