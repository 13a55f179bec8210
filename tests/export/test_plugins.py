"""Our operators as plugins: what the parser is given, and plans that are built with them, for TensorRT for RTX."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from edgead.bundle import read_bundle
from edgead.calibration.quantize import quantize
from edgead.cli.build_engine import describe
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.plugins import NAMESPACE, OPERATORS, PLUGINS, RTX_NAME
from edgead.export.build import BuildReport
from edgead.export.graph import to_graph
from edgead.export.plugins import ATTRIBUTE, select
from edgead.export.precision import to_fp16
from edgead.export.tensorrt import PlanOptions, build_plan, convolution_report, unavailable
from edgead.export.verification.comparison import Comparison, Metrics
from edgead.kernels import library
from edgead.training.models import build

ROOT = Path(__file__).parents[2]
SIDE, BATCH = 64, 4
TARGET = "tensorrt-rtx"
PRECISIONS = ("fp32", "fp16", "int8")
OPTIONS = PlanOptions(max_batch=BATCH, compute_capabilities=("8.6",))
PLUGIN_LAYER = "custom_layer"  # as TensorRT for RTX calls it in its report

needs_rtx = pytest.mark.skipif(unavailable(TARGET) is not None, reason=f"{unavailable(TARGET)}")


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)


def precisions(name, options) -> dict[str, bytes]:
    torch.manual_seed(0)
    graph = to_graph(build(name, options), SIDE, SIDE, BATCH)
    return {"fp32": graph, "fp16": to_fp16(graph), "int8": quantize(graph, images())}


@pytest.fixture(scope="module")
def transformers(small) -> dict[str, bytes]:
    """UniAD in the three precisions, with heads that are wide enough for the kernel."""
    return precisions("uniad", {**small["uniad"], "hidden": 32})


@pytest.fixture(scope="module")
def classifiers(small) -> dict[str, bytes]:
    return precisions("leanet", small["leanet"])


@pytest.fixture(scope="module")
def compiled(tensorrt_headers, tmp_path_factory) -> Path:
    """A folder with the plugins, for one GPU. A process registers one library of them: an installed one is taken."""
    installed = library.find(PLUGINS)
    if installed and library.find(RTX_NAME):
        return installed.parent
    if "NV_TENSORRT_MAJOR 10" in (tensorrt_headers / "NvInferVersion.h").read_text():
        pytest.skip("TensorRT for RTX takes no plugins that were compiled with the headers of TensorRT 10")
    nvcc = shutil.which("nvcc") or pytest.skip("there is no nvcc")
    folder, plugin = tmp_path_factory.mktemp("plugins"), ROOT / "kernels/plugin"
    code = ["-std=c++17", "-O1", "-arch=sm_86", "-Xcompiler=-fPIC,-fvisibility=hidden", f"-I{ROOT / 'kernels/include'}"]
    links = ["-shared", "-cudart", "static", f"-Xlinker=--version-script={plugin / 'exports.map'},--no-undefined"]
    sources = [ROOT / f"kernels/cuda/{name}.cu" for name in ("error", "ciede2000", "neighbor_masked_attention")]
    command = [nvcc, *code, *links, "-isystem", tensorrt_headers, *sources, plugin / "plugins.cpp"]
    subprocess.run(
        [*map(str, command), "-Xlinker=--no-undefined", "-o", str(folder / PLUGINS)], check=True, timeout=600
    )
    name = ["-Wl,-soname,libtensorrt_rtx.so", "-Wl,--filter=libtensorrt_rtx.so.1", "-o", str(folder / RTX_NAME)]
    subprocess.run(["c++", "-shared", "-fPIC", *name, "-x", "c++", "/dev/null"], check=True, timeout=60)
    return folder


@pytest.fixture
def plugins(compiled, monkeypatch) -> Path:
    monkeypatch.setenv("EDGEAD_NATIVE", str(compiled))
    return compiled


@pytest.fixture
def no_plugins(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EDGEAD_NATIVE", str(tmp_path))


def nodes(graph: bytes) -> list[onnx.NodeProto]:
    """Those of our operators."""
    return [node for node in onnx.load_from_string(graph).graph.node if node.domain == NAMESPACE]


def names(graph: bytes) -> list[str]:
    return [node.name for node in nodes(graph)]


def selected(graph: bytes) -> bool:
    """Whether all nodes say that they are plugins."""
    found = {
        tuple(helper.get_attribute_value(each) for each in node.attribute if each.name == ATTRIBUTE)
        for node in nodes(graph)
    }
    assert found in ({()}, {(NAMESPACE.encode(),)})
    return bool(found.pop())


def bodies(graph: bytes) -> list[str]:
    return [function.name for function in onnx.load_from_string(graph).functions]


def older(graph: bytes) -> bytes:
    """The graph as it was exported before its nodes named the plugin."""
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        kept = [each for each in node.attribute if each.name != ATTRIBUTE]
        del node.attribute[:]
        node.attribute.extend(kept)
    return model.SerializeToString()


def answers(graph: bytes) -> dict[str, np.ndarray]:
    with OnnxRuntimeEngine(graph, max_batch=BATCH) as engine:
        return engine.infer(images())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_of_every_precision_name_the_plugin_and_keep_the_body(transformers, classifiers, precision):
    assert selected(transformers[precision]) and bodies(transformers[precision]) == ["NeighborMaskedAttention"]
    assert selected(classifiers[precision]) and bodies(classifiers[precision]) == ["CIEDE2000"]
    before = answers(older(transformers[precision]))
    for name, value in answers(transformers[precision]).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_plugin_has_no_body_and_a_body_no_plugin(transformers):
    graph = transformers["fp32"]
    for given in (graph, older(graph)):
        chosen = select(given, {})
        assert (list(chosen.plugins), chosen.bodies) == (names(graph), ())
        assert selected(chosen.model) and bodies(chosen.model) == []
        other = select(given, {"NeighborMaskedAttention": "the reason"})
        assert (other.plugins, list(other.bodies)) == ((), [f"{name}: the reason" for name in names(graph)])
        assert not selected(other.model) and bodies(other.model) == ["NeighborMaskedAttention"]
        # Nothing else of the graph has changed.
        assert onnx.load_from_string(other.model) == onnx.load_from_string(older(graph))


@pytest.mark.parametrize("graph", [b"", b"garbage", b"NeighborMaskedAttention"])
def test_what_is_no_graph_is_left_to_the_parser(graph):
    assert select(graph, {}).model == graph


@needs_rtx
@pytest.mark.parametrize("precision", PRECISIONS)
def test_attention_runs_as_a_plugin(transformers, plugins, precision):
    graph = transformers[precision]
    plan = build_plan(graph, TARGET, OPTIONS)
    assert (list(plan.plugins), plan.bodies) == (names(graph), ())
    layers = [layer for layer in plan.layers if layer.kind == PLUGIN_LAYER]
    assert sorted(name for layer in layers for name in layer.sources) == sorted(names(graph))
    kind = "fp16" if precision == "fp16" else "fp32"
    assert {(layer.inputs, layer.outputs) for layer in layers} == {((kind,) * 3, (kind,))}
    # What is left are the layers with weights, and INT8 reaches all of them as without plugins.
    weighted = {node.name for node in onnx.load_from_string(graph).graph.node if node.op_type in ("Conv", "MatMul")}
    report = convolution_report(plan.layers)
    assert (report.total, report.int8) == (len(weighted), len(weighted) if precision == "int8" else 0)


@needs_rtx
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_difference_of_colors_runs_as_a_plugin(classifiers, plugins, precision):
    graph = classifiers[precision]
    plan = build_plan(graph, TARGET, OPTIONS)
    assert (list(plan.plugins), plan.bodies) == (names(graph), ())
    (layer,) = (layer for layer in plan.layers if layer.kind == PLUGIN_LAYER)
    assert (layer.inputs, layer.outputs) == (("fp32", "fp32"), ("fp32",))
    assert not [layer.name for layer in plan.layers if any(word in layer.name.lower() for word in ("atan", "cos"))]


@needs_rtx
def test_graphs_of_older_bundles_get_the_plugins_too(transformers, plugins):
    plan = build_plan(older(transformers["fp32"]), TARGET, OPTIONS)
    assert list(plan.plugins) == names(transformers["fp32"])
    assert sum(layer.kind == PLUGIN_LAYER for layer in plan.layers) == len(plan.plugins)


@needs_rtx
def test_what_the_plugin_refuses_runs_by_its_body(small, plugins):
    graph = precisions("uniad", small["uniad"])["fp32"]
    plan = build_plan(graph, TARGET, OPTIONS)
    reason = "a head is not 16 to 128 numbers wide"
    assert (plan.plugins, list(plan.bodies)) == ((), [f"{name}: {reason}" for name in names(graph)])
    assert PLUGIN_LAYER not in {layer.kind for layer in plan.layers}
    assert convolution_report(plan.layers).total > len(plan.bodies)


@needs_rtx
@pytest.mark.parametrize(
    ("options", "reason"), [(OPTIONS, f"{PLUGINS} was not built"), (PlanOptions(plugins=False), "the options say so")]
)
def test_without_plugins_the_bodies_run_and_the_plan_says_why(transformers, no_plugins, options, reason):
    graph = transformers["fp32"]
    plan = build_plan(graph, TARGET, options)
    assert (plan.plugins, list(plan.bodies)) == ((), [f"{name}: {reason}" for name in names(graph)])
    assert PLUGIN_LAYER not in {layer.kind for layer in plan.layers}


@needs_rtx
@pytest.mark.parametrize("asked", [True, False])
def test_a_host_that_only_opens_the_library_asks_it_to_register(plugins, asked):
    script = f"""
import ctypes, tensorrt_rtx_bindings as trt
ctypes.CDLL({str(plugins / PLUGINS)!r})
print(*sorted(each.name for each in trt.get_plugin_registry().all_creators if each.plugin_namespace == "edgead"))
"""
    environment = {key: value for key, value in os.environ.items() if key != "EDGEAD_REGISTER_PLUGINS"}
    environment |= {"EDGEAD_REGISTER_PLUGINS": "1"} if asked else {}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == (sorted(OPERATORS) if asked else [])


def test_the_build_says_what_runs_as_a_plugin(fp32_bundle):
    errors = {"map_error": 0.0, "largest_map_error": 0.0, "score_error": 0.0, "rank_correlation": 1.0}
    sides = {"metrics": Metrics(), "reference": Metrics(), "pyramid": (0.0,)}
    comparison = Comparison(TARGET, True, 1, 0, False, **sides, **errors, changed_verdicts=0, changed=())
    report = BuildReport(
        read_bundle(fp32_bundle),
        TARGET,
        "fp32",
        None,
        b"",
        comparison,
        0,
        0,
        (),
        ("one", "two"),
        ("three: narrow", "four: narrow"),
    )
    lines = [line.strip() for line in describe(Path("part.edgead"), report)]
    assert lines[1:3] == ["2 of 4 operators of edgead's own run as plugins", "2 by their bodies: narrow"]
    written = report.to_json()
    assert (written["plugins"], written["bodies"]) == (["one", "two"], ["three: narrow", "four: narrow"])


def test_the_plugins_are_those_of_the_source():
    text = (ROOT / "kernels/plugin/plugins.cpp").read_text()
    for name in OPERATORS:
        assert f'kName[] = "{name}"' in text
