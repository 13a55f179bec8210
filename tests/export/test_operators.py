"""The operators in ONNX: the node, its body, and the runtimes that put the body in its place."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import openvino
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional as F

from edgead.calibration.quantize import quantize
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.openvino import OpenVinoEngine, compile_graph, layer_precisions
from edgead.errors import ExportError, TrainingError
from edgead.export.graph import check_contract, to_graph
from edgead.export.operators import attach_bodies, translations
from edgead.export.precision import to_fp16
from edgead.kernels.reference import ciede2000 as color_difference
from edgead.training.ciede2000 import ciede2000
from edgead.training.color import srgb_to_lab
from edgead.training.operators import check_window, neighbor_masked_attention

SIDE, BATCH = 48, 4
OPERATOR = "NeighborMaskedAttention"
NAMES = ("num_heads", "height", "width", "neighbor_height", "neighbor_width")
PAIRS = np.loadtxt(Path(__file__).parents[1] / "data" / "sharma_2005_pairs.txt")  # L1 a1 b1 L2 a2 b2 difference


class Layer(nn.Module):
    """A post-norm encoder layer."""

    def __init__(self, channels, options):
        super().__init__()
        self.options = options
        self.q, self.k, self.v, self.out = (nn.Linear(channels, channels) for _ in range(4))
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, channels)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        for norm in self.norms:
            nn.init.uniform_(norm.weight, 0.5, 1.5)

    def forward(self, x):
        mixed = neighbor_masked_attention(self.q(x), self.k(x), self.v(x), **self.options)
        x = self.norms[0](x + self.out(mixed))
        return self.norms[1](x + self.feed_forward(x))


class Transformer(nn.Module):
    """A detector as the models make it: features of a small network, rebuilt by a transformer, and their distance."""

    def __init__(self, *, heads=4, height=6, width=6, window=(3, 3), features=16, channels=32):
        super().__init__()
        self.grid = (height, width)
        self.size = (height * 8, width * 8)
        self.stem = nn.Sequential(
            nn.Conv2d(3, features, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, 2, 1),
        )
        options = dict(zip(NAMES, (heads, height, width, *window), strict=True))
        self.network = nn.Sequential(
            nn.Linear(features, channels),
            *(Layer(channels, options) for _ in range(2)),
            nn.Linear(channels, features),
        )

    def forward(self, image):
        features = self.stem(image.to(torch.float32).permute(0, 3, 1, 2) / 255).flatten(2).transpose(1, 2)
        distance = (features - self.network(features)).square().sum(dim=2).sqrt()
        anomaly_map = F.interpolate(distance.unflatten(1, self.grid)[:, None], self.size, mode="bilinear")[:, 0]
        return anomaly_map, anomaly_map.amax(dim=(1, 2))


SHAPES = [
    {},
    {"heads": 1, "height": 3, "width": 7, "window": (1, 5)},
    {"heads": 8, "height": 8, "width": 2, "window": (5, 0)},
]


@pytest.fixture(scope="module", params=SHAPES, ids=["square", "wide", "no window"])
def exported(request):
    torch.manual_seed(0)
    model = Transformer(**request.param).eval()
    return model, to_graph(model, *model.size, BATCH)


def images(size=(SIDE, SIDE), count=3):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)


def single(options, kind=TensorProto.FLOAT, channels=8):
    """A model of one node, q, k and v in, y out."""
    shape = ["N", options["height"] * options["width"], channels]
    values = [helper.make_tensor_value_info(name, kind, shape) for name in "qkvy"]
    node = helper.make_node(OPERATOR, ["q", "k", "v"], ["y"], "attention", domain="edgead", **options)
    graph = helper.make_graph([node], "single", values[:3], values[3:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("edgead", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    attach_bodies(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def reference(q, k, v, num_heads, height, width, neighbor_height, neighbor_width):
    """float64, from the definition."""
    q, k, v = (tensor.astype(np.float64).reshape(*tensor.shape[:2], num_heads, -1) for tensor in (q, k, v))
    y, x = np.divmod(np.arange(height * width), width)
    near = (2 * abs(y[:, None] - y) < neighbor_height) & (2 * abs(x[:, None] - x) < neighbor_width)
    weights = np.einsum("nqhc,nkhc->nhqk", q, k) / np.sqrt(q.shape[3])
    weights[..., near] = -np.inf
    weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("nhqk,nkhc->nqhc", weights, v).reshape(*v.shape[:2], -1)


def run_single(model, tensors):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip("qkv", tensors, strict=True)))[0]


def infer(engine_class, graph, batch):
    with engine_class(graph, max_batch=BATCH) as engine:
        return engine.infer(batch)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    window=st.tuples(st.sampled_from([0, 1, 3, 5]), st.sampled_from([0, 1, 3, 5])),
    heads=st.sampled_from([1, 2, 4]),
    batch=st.integers(1, 3),
)
def test_the_body_is_the_definition(height, width, window, heads, batch):
    try:
        check_window(height, width, *window)
    except TrainingError:
        return
    options = dict(zip(NAMES, (heads, height, width, *window), strict=True))
    tensors = np.random.default_rng(0).normal(size=(3, batch, height * width, 8)).astype(np.float32)
    got = run_single(single(options), tensors)
    np.testing.assert_allclose(got, reference(*tensors, **options), atol=1e-6)


def test_the_body_in_half_precision_scales_before_it_multiplies_and_weighs_in_single():
    options = dict(zip(NAMES, (1, 4, 4, 3, 3), strict=True))
    random = np.random.default_rng(0)
    q, k, v = random.normal(size=(3, 2, 16, 64))
    large = np.stack([40 + q, 40 + k / 8, v]).astype(
        np.float16
    )  # products up to 100,000: more than half precision holds
    model = single(options, TensorProto.FLOAT16, 64)
    got = run_single(model, large)
    assert got.dtype == np.float16
    assert np.isfinite(got).all()
    small = np.stack([q, k, v]).astype(np.float16)
    np.testing.assert_allclose(run_single(model, small), reference(*small, **options), atol=4e-3)
    inlined = onnx.shape_inference.infer_shapes(onnx.inliner.inline_local_functions(model), data_prop=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in inlined.value_info}
    (softmax,) = (node for node in inlined.node if node.op_type == "Softmax")
    assert kinds[softmax.input[0]] == kinds[softmax.output[0]] == TensorProto.FLOAT
    products = [node for node in inlined.node if node.op_type == "MatMul"]
    assert {kinds[name] for node in products for name in node.input} == {TensorProto.FLOAT16}


def test_every_use_is_a_node_and_the_body_stands_in_the_model_once(exported):
    model, graph = exported
    parsed = onnx.load_from_string(graph)
    check_contract(parsed, *model.size)
    nodes = [node for node in parsed.graph.node if node.domain == "edgead"]
    assert [node.op_type for node in nodes] == [OPERATOR] * 2
    options = model.network[1].options
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in nodes[0].attribute}
    assert values == {**options, "plugin_namespace": b"edgead"}
    assert [(function.domain, function.name) for function in parsed.functions] == [("edgead", OPERATOR)]
    assert {opset.domain: opset.version for opset in parsed.opset_import} == {"": 18, "edgead": 1}
    assert {node.domain for node in parsed.functions[0].node} == {""}
    assert not {"MatMul", "Softmax"} <= {node.op_type for node in parsed.graph.node}


def test_onnx_runtime_answers_as_torch_does(exported):
    model, graph = exported
    for count in (1, 3):
        batch = images(model.size, count)
        with torch.no_grad():
            expected = model(torch.from_numpy(batch))
        got = infer(OnnxRuntimeEngine, graph, batch)
        for name, value in zip(("anomaly_map", "score"), expected, strict=True):
            np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-5, atol=1e-5)


def test_openvino_answers_as_torch_does(exported):
    model, graph = exported
    batch = images(model.size)
    with torch.no_grad():
        expected = model(torch.from_numpy(batch))
    got = infer(OpenVinoEngine, compile_graph(graph), batch)
    for name, value in zip(("anomaly_map", "score"), expected, strict=True):
        np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-4, atol=1e-4)


def test_openvino_computes_neither_mask_nor_scale_when_it_runs(exported):
    layers = layer_precisions(compile_graph(exported[1]))
    computed = {layer.name.split("__")[0] for layer in layers if layer.kind != "Const"}
    body = onnx.load_from_string(exported[1]).functions[0].node
    names = [name for node in body for name in node.output]
    assert {"mixed", "mixed_by_token"} & computed  # so the names of the body are those that the engine reports
    constants = {"mask", "vector", "channels", "channels_of_head", "channels_float", "scale_float", "scale"}
    assert not computed & (set(names[: names.index("mask")]) | constants)
    assert "ShapeOf" not in {layer.kind for layer in layers if layer.name.endswith(("__1", "__2"))}


def test_shapes_are_known_but_for_the_batch(exported):
    parsed = onnx.load_from_string(exported[1])
    inferred = onnx.shape_inference.infer_shapes(parsed, strict_mode=True, data_prop=True).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred.value_info}
    for node in parsed.graph.node:
        if node.op_type in (OPERATOR, "LayerNormalization"):
            batch, *sides = shapes[node.output[0]]
            assert not batch.HasField("dim_value")
            assert all(side.dim_value > 0 for side in sides)


def test_the_same_weights_give_the_same_bytes_and_no_trace_of_the_machine(exported):
    model, graph = exported
    assert to_graph(model, *model.size, BATCH) == graph
    parsed = onnx.load_from_string(graph)
    for holder in (*parsed.functions, *(node for function in parsed.functions for node in function.node)):
        assert not holder.doc_string and not holder.metadata_props
    assert b".py" not in graph


@pytest.mark.parametrize("convert", [to_fp16, lambda graph: quantize(graph, images())])
def test_other_precisions_keep_node_and_body(convert):
    torch.manual_seed(0)
    graph = to_graph(Transformer().eval(), SIDE, SIDE, BATCH)
    converted = onnx.load_from_string(convert(graph))
    check_contract(converted, SIDE, SIDE)
    assert [node.op_type for node in converted.graph.node if node.domain == "edgead"] == [OPERATOR] * 2
    assert converted.functions == onnx.load_from_string(graph).functions


def test_a_graph_without_operators_gets_no_body():
    class Plain(nn.Module):
        def forward(self, image):
            pixels = image.float().mean(dim=3)
            return pixels, pixels.amax(dim=(1, 2))

    parsed = onnx.load_from_string(to_graph(Plain(), 8, 8, 2))
    assert not parsed.functions
    assert [opset.domain for opset in parsed.opset_import] == [""]


def test_operators_without_a_body_and_foreign_ones_are_refused():
    model = single(dict(zip(NAMES, (1, 4, 4, 3, 3), strict=True)))
    del model.functions[:]
    model.graph.node[0].op_type = "Guess"
    with pytest.raises(ExportError, match="no body for the operator 'Guess'"):
        attach_bodies(model)
    torch.manual_seed(0)
    foreign = onnx.load_from_string(to_graph(Transformer().eval(), SIDE, SIDE, BATCH))
    foreign.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ExportError, match=r"needs the operators com\.microsoft 1"):
        check_contract(foreign, SIDE, SIDE)


def test_openvino_alone_does_not_know_the_operator():
    """If it does one day, inlining can go."""
    graph = single(dict(zip(NAMES, (1, 4, 4, 3, 3), strict=True))).SerializeToString()
    with pytest.raises(RuntimeError, match=OPERATOR):
        openvino.Core().read_model(io.BytesIO(graph))


def test_export_needs_no_training():
    code = """
import sys
from edgead.export.operators import translations
assert translations() == {}
assert not [name for name in sys.modules if name.startswith("edgead.training")]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert len(translations()) == 2


class Judge(nn.Module):
    """A detector that says how far the pixels are from gray."""

    def forward(self, image):
        lab = srgb_to_lab(image.to(torch.float32).permute(0, 3, 1, 2) / 255)
        anomaly_map = ciede2000(lab, torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], dim=1))[:, 0]
        return anomaly_map, anomaly_map.amax(dim=(1, 2))


def difference_model():
    """A model of one node: lab1 and lab2 in, y out."""
    sides = (("lab1", 3), ("lab2", 3), ("y", 1))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", n, "H", "W"]) for name, n in sides]
    node = helper.make_node("CIEDE2000", ["lab1", "lab2"], ["y"], "difference", domain="edgead")
    graph = helper.make_graph([node], "difference", values[:2], values[2:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("edgead", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    attach_bodies(model)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def differences(request):
    """The operator's body in a runtime: [n, 3] and [n, 3] -> [n]."""
    model = difference_model()
    if request.param == "onnxruntime":
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    else:
        core = openvino.Core()
        inlined = io.BytesIO(onnx.inliner.inline_local_functions(model).SerializeToString())
        compiled = core.compile_model(core.read_model(inlined), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(first, second):
        lab1, lab2 = (np.ascontiguousarray(np.asarray(each, np.float32).T[None, :, None]) for each in (first, second))
        if request.param == "onnxruntime":
            y = session.run(None, {"lab1": lab1, "lab2": lab2})[0]
        else:
            y = compiled([lab1, lab2])[0]
        assert (y.shape, y.dtype) == ((1, 1, 1, len(first)), np.float32)
        return y[0, 0, 0].astype(np.float64)

    return run


def test_the_34_pairs_of_sharma_wu_and_dalal(differences):
    first, second, expected = PAIRS[:, :3], PAIRS[:, 3:6], PAIRS[:, 6]
    assert len(expected) == 34
    assert np.abs(differences(first, second) - expected).max() < 1e-4
    assert np.abs(differences(second, first) - expected).max() < 1e-4


@pytest.mark.parametrize("scale", [1, 1e-3, 1e-6, 1e-12, 1e-20, 1e-30])
def test_colors_of_every_chroma_differ_as_the_oracle_says(differences, scale):
    """Down to where products are too small for float32: runtimes treat those each in its own way."""
    random = np.random.default_rng(0)
    first, second = random.uniform((0, -128, -128), (100, 127, 127), (2, 50_000, 3)).astype(np.float32)
    first[:, 1:] *= np.float32(scale)
    second[::2, 1:] *= np.float32(scale)
    assert np.abs(differences(first, second) - color_difference(first, second)).max() < 1e-3
    near = (first + random.normal(size=first.shape) * 0.1 * (1, scale, scale)).astype(np.float32)
    assert np.abs(differences(first, near) - color_difference(first, near)).max() < 1e-3
    assert np.abs(differences(first, first)).max() < 1e-4


def test_exactly_opposite_hues_have_the_plain_mean(differences):
    """Where the formula jumps (see tests/training/test_ciede2000.py), whether or not a runtime fuses its products."""
    random = np.random.default_rng(1)
    first, second = random.uniform((0, -128, -128), (100, 127, 127), (2, 50_000, 3)).astype(np.float32)
    second[:, 1:] = first[:, 1:] * -(2.0 ** random.integers(-4, 5, (50_000, 1)))
    assert np.abs(differences(first, second) - color_difference(first, second)).max() < 1e-3


def test_black_white_and_gray_are_no_exception(differences):
    grays = np.array([(0, 0, 0), (50, 0, 0), (100, 0, 0), (50, 0, 30), (50, -30, 0)])
    for shift in range(5):
        other = np.roll(grays, shift, axis=0)
        np.testing.assert_allclose(differences(grays, other), color_difference(grays, other), rtol=1e-5, atol=1e-5)


def test_a_difference_of_colors_is_a_node_with_a_body_in_single():
    graph = to_graph(Judge(), 8, 8, BATCH)
    parsed = onnx.load_from_string(graph)
    (node,) = (node for node in parsed.graph.node if node.domain == "edgead")
    assert node.op_type == "CIEDE2000"
    assert list(node.attribute) == [helper.make_attribute("plugin_namespace", "edgead")]
    assert [(function.domain, function.name) for function in parsed.functions] == [("edgead", "CIEDE2000")]
    inlined = onnx.shape_inference.infer_shapes(onnx.inliner.inline_local_functions(parsed), strict_mode=True).graph
    kinds = {value.type.tensor_type.elem_type for value in inlined.value_info}
    assert kinds <= {TensorProto.FLOAT, TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT64}
    batch = images((8, 8))
    with torch.no_grad():
        expected = Judge()(torch.from_numpy(batch))
    for engine, compiled in ((OnnxRuntimeEngine, graph), (OpenVinoEngine, compile_graph(graph))):
        got = infer(engine, compiled, batch)
        for name, value in zip(("anomaly_map", "score"), expected, strict=True):
            np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-5, atol=1e-3)


def test_half_precision_is_no_type_of_a_color_difference():
    model = difference_model()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(onnx.shape_inference.InferenceError):
        onnx.checker.check_model(model, full_check=True)
