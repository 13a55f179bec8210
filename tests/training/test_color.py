"""CIELAB against scikit-image, in torch and in the runtimes."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
import openvino
import pytest
import skimage.color
import torch
from torch import nn

from edgead.errors import TrainingError
from edgead.kernels import reference
from edgead.training.color import lab_to_srgb, srgb_to_lab

LAYERS = {"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"}


class Conversion(nn.Module):
    def __init__(self, convert):
        super().__init__()
        self.convert = convert

    def forward(self, picture):
        return self.convert(picture)


def in_onnx_runtime(model):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda picture: session.run(None, {"picture": picture})[0]


def in_openvino(model):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(io.BytesIO(model)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda picture: compiled([picture])[0]


def exported(convert):
    """The ONNX model of a conversion, free in batch, height and width."""
    sides = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        Conversion(convert).eval(),
        (torch.rand(2, 3, 4, 5),),
        input_names=["picture"],
        opset_version=18,
        dynamic_shapes=(sides,),
        dynamo=True,
        verbose=False,
    )
    return program.model_proto


@pytest.fixture(scope="module")
def graphs():
    return {convert: exported(convert) for convert in (srgb_to_lab, lab_to_srgb)}


@pytest.fixture(scope="module", params=["torch", "onnxruntime", "openvino"])
def run(request, graphs):
    """Convert float [n, 3] colours with a function of `edgead.training.color`; float64 [n, 3]."""
    ways = {
        convert: {
            "torch": lambda picture, convert=convert: convert(torch.from_numpy(picture)).numpy(),
            "onnxruntime": in_onnx_runtime(graph.SerializeToString()),
            "openvino": in_openvino(graph.SerializeToString()),
        }[request.param]
        for convert, graph in graphs.items()
    }

    def convert_colors(convert, colors):
        picture = np.ascontiguousarray(np.asarray(colors, np.float32).T.reshape(1, 3, 1, -1))
        converted = ways[convert](picture)
        assert converted.dtype == np.float32
        return converted.reshape(3, -1).T.astype(np.float64)

    return convert_colors


def srgb_colors():
    """Corners of the cube, every 8-bit gray, 8-bit colours next to both bends of the curves, and random ones."""
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * 3), axis=-1).reshape(-1, 3)
    grays = np.arange(256)[:, None].repeat(3, axis=1) / 255
    dark = np.stack(np.meshgrid(*[np.arange(0, 48, 3)] * 3), axis=-1).reshape(-1, 3) / 255
    return np.concatenate([corners, grays, dark, np.random.default_rng(0).uniform(size=(50_000, 3))]).astype(np.float32)


def lab_colors():
    """Colours of the whole space, most of which no screen shows, and the edges of it."""
    edges = np.stack(np.meshgrid([0, 1e-3, 50, 100], [-128, 0, 127], [-128, 0, 127]), axis=-1).reshape(-1, 3)
    random = np.random.default_rng(1).uniform([0, -128, -128], [100, 127, 127], (50_000, 3))
    return np.concatenate([edges, random]).astype(np.float32)


def test_lab_is_that_of_scikit_image(run):
    colors = srgb_colors()
    got, wide = run(srgb_to_lab, colors), colors.astype(np.float64)
    for expected in (skimage.color.rgb2lab(wide), reference.srgb_to_lab(wide)):
        assert np.abs(got - expected).max() < 1e-3  # NaN fails, too


def test_white_black_and_the_primaries_are_where_the_tables_have_them(run):
    """Published values, of two decimals, with the same white point."""
    table = {
        (1, 1, 1): (100, 0, 0),
        (0, 0, 0): (0, 0, 0),
        (1, 0, 0): (53.24, 80.09, 67.20),
        (0, 1, 0): (87.73, -86.18, 83.18),
        (0, 0, 1): (32.30, 79.19, -107.86),
    }
    np.testing.assert_allclose(run(srgb_to_lab, list(table)), list(table.values()), atol=0.02)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_colors_are_shown_and_clipped_as_scikit_image_does(run):
    colors = lab_colors()
    got, expected = run(lab_to_srgb, colors), skimage.color.lab2rgb(colors.astype(np.float64))
    assert np.abs(got - expected).max() < 1e-4
    assert got.min() == 0
    assert got.max() <= 1
    inside = ((expected > 0) & (expected < 1)).all(axis=1)
    assert 0.1 < inside.mean() < 0.9  # so both kinds were there


def test_there_and_back_is_the_same_color(run):
    colors = srgb_colors()
    np.testing.assert_allclose(run(lab_to_srgb, run(srgb_to_lab, colors)), colors, atol=1e-3)


def test_nothing_in_the_graph_would_be_converted_to_another_precision(graphs):
    for graph in graphs.values():
        assert {node.domain for node in graph.graph.node} == {""}
        assert not LAYERS & {node.op_type for node in graph.graph.node}
        assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 18)]


@pytest.mark.parametrize("convert", [srgb_to_lab, lab_to_srgb])
def test_it_stays_single_under_autocast_and_takes_other_types(convert):
    picture = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = convert(picture)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(convert(picture), expected)
    assert convert(picture.double()).dtype == convert(picture.half()).dtype == torch.float32


@pytest.mark.parametrize("convert", [srgb_to_lab, lab_to_srgb])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 4, 5), (1, 4, 5, 3)])
def test_what_is_no_picture_of_three_channels_is_refused(convert, shape):
    with pytest.raises(TrainingError, match=r"give \[N, 3, H, W\]"):
        convert(torch.zeros(shape))
