"""A scale of one layer eight times what it should be: the gate refuses the engine, the roundings name the layer."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgead.bundle import read_bundle
from edgead.calibration.quantize import quantize
from edgead.calibration.sensitivity import roundings
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.errors import GateRefused
from edgead.export import build as module
from edgead.export.build import BuildOptions, build_engine

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


@pytest.mark.parametrize("which", [ACTIVATIONS, WEIGHTS], ids=["activations", "weights"])
@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
def test_a_broken_layer_is_refused(fp32_bundle, parts, tmp_path, monkeypatch, place, which):
    bundle = shutil.copy(fp32_bundle, tmp_path / "part.edgead")
    before = bundle.read_bytes()

    def breaking(graph, *arguments, **settings):
        return broken(quantize(graph, *arguments, **settings), layers(graph)[place].name, which)

    monkeypatch.setattr(module, "quantize", breaking)
    with pytest.raises(GateRefused, match=r"AUROC falls from (1\.0000|0\.999\d) to 0\.[678]"):
        build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino"))
    assert bundle.read_bytes() == before


@pytest.mark.parametrize("which", [ACTIVATIONS, WEIGHTS], ids=["activations", "weights"])
def test_the_roundings_name_whichever_layer_is_broken(fp32_bundle, parts, which):
    graph, images = read_bundle(fp32_bundle).graph("fp32"), load_images(read_dataset(parts).train, 64, 64)[:8]
    quantised = quantize(graph, images)
    for layer in layers(graph):
        errors = {
            name: found.error for name, found in roundings(graph, broken(quantised, layer.name, which), images).items()
        }
        assert len(errors) == 9
        assert max(errors, key=errors.__getitem__) == layer.name
        assert errors.pop(layer.name) > 20 * max(errors.values())
