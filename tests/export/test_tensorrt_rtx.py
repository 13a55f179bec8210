"""Plans are really built, with TensorRT for RTX: it needs no GPU for that."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from edgead import gpu
from edgead.calibration.quantize import LAYERS, quantize
from edgead.engines import tensorrt
from edgead.engines.timings import TimingKey
from edgead.errors import EngineError, EngineUnavailable
from edgead.export.graph import to_graph
from edgead.export.precision import to_fp16
from edgead.export.tensorrt import PlanOptions, build_plan, check_options, convolution_report, unavailable
from edgead.training.models import build

SIDE, BATCH = 64, 4
TARGET = "tensorrt-rtx"
BODIES = PlanOptions(max_batch=BATCH, compute_capabilities=("8.6",), plugins=False)

needs_rtx = pytest.mark.skipif(unavailable(TARGET) is not None, reason=f"{unavailable(TARGET)}")


class AutoEncoder(nn.Module):
    """A detector as the models make it: pixels in, squared error of the reconstruction out."""

    def __init__(self, widths=(64, 128, 256)):
        super().__init__()
        layers = []
        for inputs, outputs in zip((3, *widths), widths, strict=False):
            layers += self.block(inputs, outputs, 2)
        for inputs, outputs in zip(widths[::-1], (*widths[-2::-1], 32), strict=True):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), *self.block(inputs, outputs, 1)]
        self.network = nn.Sequential(*layers, nn.Conv2d(32, 3, 3, padding=1), nn.Sigmoid())

    @staticmethod
    def block(inputs, outputs, stride):
        normalise = nn.BatchNorm2d(outputs)
        nn.init.uniform_(normalise.running_var, 0.5, 1.5)
        return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), normalise, nn.LeakyReLU(0.2)]

    def forward(self, image):
        pixels = image.to(torch.float32).permute(0, 3, 1, 2) / 255
        error = (pixels - self.network(pixels)).square().mean(dim=1, keepdim=True)
        anomaly_map = nn.functional.avg_pool2d(error, 5, 1, 2, count_include_pad=False)[:, 0]
        return anomaly_map, anomaly_map.amax(dim=(1, 2))


@pytest.fixture(scope="module")
def graphs() -> dict[str, bytes]:
    """The same detector in the three precisions."""
    torch.manual_seed(0)
    graph = to_graph(AutoEncoder(), SIDE, SIDE, BATCH)
    images = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    return {"fp32": graph, "fp16": to_fp16(graph), "int8": quantize(graph, images)}


@pytest.fixture(scope="module")
def plans(graphs):
    options = PlanOptions(max_batch=BATCH, compute_capabilities=("8.6", "8.9"))
    return {precision: build_plan(graph, TARGET, options) for precision, graph in graphs.items()}


@pytest.fixture(scope="module")
def transformers(small) -> dict[str, bytes]:
    """UniAD, with its attention, in the three precisions."""
    torch.manual_seed(0)
    graph = to_graph(build("uniad", small["uniad"]), SIDE, SIDE, BATCH)
    images = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    return {"fp32": graph, "fp16": to_fp16(graph), "int8": quantize(graph, images)}


def convolutions(graph: bytes) -> set[str]:
    return {node.name for node in onnx.load_from_string(graph).graph.node if node.op_type == "Conv"}


def edited(graph: bytes, change) -> bytes:
    model = onnx.load_from_string(graph)
    change(model.graph)
    return model.SerializeToString()


def behind_a_copy(graph: onnx.GraphProto) -> set[str]:
    """Move Q/DQ from behind each Resize to the front of it, the same numbers; returns the convolutions that follow."""
    readers = {name: node for node in graph.node for name in node.input}
    moved = set()
    for resize in [node for node in graph.node if node.op_type == "Resize"]:
        quantise = readers[resize.output[0]]
        dequantise = readers[quantise.output[0]]
        before, final = resize.input[0], dequantise.output[0]
        quantise.input[0], dequantise.output[0] = before, f"{final}_small"
        resize.input[0], resize.output[0] = f"{final}_small", final
        moved.add(readers[final].name)
    ordered, known = [], {tensor.name for tensor in (*graph.initializer, *graph.input)} | {""}
    waiting = list(graph.node)
    while waiting:
        ready = [node for node in waiting if set(node.input) <= known]
        known |= {name for node in ready for name in node.output}
        ordered += ready
        waiting = [node for node in waiting if node not in ready]
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(ordered)
    return moved


@needs_rtx
def test_plans_shrink_with_the_precision(plans):
    sizes = {precision: len(plan.data) for precision, plan in plans.items()}
    assert sizes["fp32"] > sizes["fp16"] > sizes["int8"] > 100_000
    for plan in plans.values():
        assert (plan.runtime, plan.version) == (TARGET, tensorrt.runtime_version(TARGET))


@needs_rtx
def test_every_convolution_runs_in_int8(plans, graphs):
    names = convolutions(graphs["fp32"])
    layers = plans["int8"].layers
    report = convolution_report(layers)
    assert len(names) == 7
    assert (report.int8, report.total, report.others) == (7, 7, ())
    assert {name for layer in layers for name in layer.products} == names
    assert all("int8" in layer.inputs for layer in layers if layer.products)


@needs_rtx
@pytest.mark.parametrize(("precision", "kind"), [("fp32", "fp32"), ("fp16", "fp16")])
def test_float_plans_keep_to_their_type(plans, graphs, precision, kind):
    products = [layer for layer in plans[precision].layers if layer.products]
    assert {name for layer in products for name in layer.products} == convolutions(graphs["fp32"])
    assert all(kind in layer.inputs for layer in products)
    assert convolution_report(plans[precision].layers).int8 == 0
    # The pixels and the score stay in single precision, whatever the network is in.
    assert plans[precision].layers[-1].outputs == ("fp32",)


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_transformers_are_built_and_their_masks_made_once(transformers, precision):
    plan = build_plan(transformers[precision], TARGET, BODIES)
    report = convolution_report(plan.layers)
    weighted = {
        node.name
        for node in onnx.load_from_string(transformers["fp32"]).graph.node
        if node.op_type in ("Conv", "MatMul")
    }
    assert report.total == len(weighted) + 2 * 3  # scores and their product with the values, in three attentions
    assert report.int8 == (len(weighted) if precision == "int8" else 0)
    if precision == "int8":
        assert all(other.startswith(("node_of_scores", "node_of_mixed")) for other in report.others)
    # Three attentions, one mask: TensorRT for RTX makes it when it runs, the numbers of the tokens being its `Iota`.
    assert sum("Iota" in layer.name for layer in plan.layers) <= 1


@pytest.fixture(scope="module")
def classifiers(small) -> dict[str, bytes]:
    """LEA-Net, with its colours, in the three precisions."""
    torch.manual_seed(0)
    graph = to_graph(build("leanet", small["leanet"]), 64, 64, BATCH)
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    return {"fp32": graph, "fp16": to_fp16(graph), "int8": quantize(graph, images)}


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_colours_are_built_in_single_precision(classifiers, precision):
    plan = build_plan(classifiers[precision], TARGET, BODIES)
    model = onnx.load_from_string(classifiers[precision])
    dequantised = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    rounded = {node.name for node in model.graph.node if node.op_type in LAYERS and node.input[0] in dequantised}
    report = convolution_report(plan.layers)
    assert report.int8 == len(rounded)
    assert (len(rounded) > 20) == (precision == "int8")
    halves = [layer for layer in plan.layers if "fp16" in (*layer.inputs, *layer.outputs)]
    assert bool(halves) == (precision == "fp16")
    # What only the difference is made of: its arctangent, sines, cosines and exponential.
    difference = [layer for layer in plan.layers if any(word in layer.name.lower() for word in ("atan", "sin", "cos"))]
    assert difference
    for layer in difference:  # one kernel, which may hand the map on in half precision as well
        assert set(layer.inputs) == {"fp32"}
        assert "fp32" in layer.outputs


@needs_rtx
def test_a_copy_between_dequantisation_and_convolution_is_reported(graphs):
    moved = set()
    graph = edited(graphs["int8"], lambda graph: moved.update(behind_a_copy(graph)))
    report = convolution_report(build_plan(graph, TARGET).layers)
    assert len(moved) == 3
    assert {other.split(":")[0] for other in report.others} == moved
    assert (report.int8, report.total) == (4, 7)
    assert all("it takes fp32: no DequantizeLinear stands directly before it" in other for other in report.others)


@needs_rtx
def test_progress_rises_to_100(graphs):
    told = []
    build_plan(graphs["int8"], TARGET, progress=lambda *step: told.append(step))
    assert {(what, total) for what, _, total in told} == {("building the plan", 100)}
    percents = [done for _, done, _ in told]
    assert percents == sorted(set(percents))
    assert percents[0] < 10
    assert percents[-1] == 100
    assert len(percents) > 10


@needs_rtx
@pytest.mark.parametrize("steps", [1, 30, 90])
def test_a_cancelled_build_leaves_nothing(graphs, steps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads, told = threading.active_count(), []
    asked = iter(range(steps - 1))
    with pytest.raises(EngineError, match="the build was cancelled, tensorrt-rtx"):
        build_plan(
            graphs["int8"],
            TARGET,
            progress=lambda _, done, __: told.append(done),
            cancelled=lambda: next(asked, None) is None,
        )
    assert max(told, default=0) < 100
    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []
    assert build_plan(graphs["int8"], TARGET).data


@needs_rtx
def test_ctrl_c_ends_the_build(graphs):
    told = []

    def interrupt(_, done, __):
        told.append(done)
        if len(told) == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # the main thread hears of it now

    with pytest.raises(KeyboardInterrupt):
        build_plan(graphs["int8"], TARGET, progress=interrupt)
    assert len(told) == 5


@needs_rtx
def test_what_the_progress_raises_comes_out(graphs):
    def fail(*_):
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError, match="the terminal is gone"):
        build_plan(graphs["fp32"], TARGET, progress=fail)


@needs_rtx
def test_two_builds_at_once_keep_their_layers_apart(graphs):
    with ThreadPoolExecutor(2) as pool:
        futures = {precision: pool.submit(build_plan, graphs[precision], TARGET) for precision in ("int8", "fp32")}
        reports = {precision: convolution_report(future.result().layers) for precision, future in futures.items()}
    assert (reports["int8"].int8, reports["int8"].total) == (7, 7)
    assert (reports["fp32"].int8, reports["fp32"].total) == (0, 7)


def rename_operator(graph):
    graph.node[3].op_type = "FancyOperator"


def bad_permutation(graph):
    node = next(node for node in graph.node if node.op_type == "Transpose")
    node.name = "turned"
    node.attribute[0].ints[:] = [0, 3, 3, 3]


@needs_rtx
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda graph: b"garbage", "the graph is refused.*parse the ONNX model"),
        (lambda graph: b"", "the graph has 0 inputs"),
        (lambda graph: graph[: len(graph) // 2], "the graph is refused"),
        (lambda graph: edited(graph, rename_operator), "FancyOperator 'node_"),
        (lambda graph: edited(graph, bad_permutation), "Transpose 'turned'"),
    ],
)
def test_a_graph_that_is_refused_names_the_node(graphs, change, said):
    with pytest.raises(EngineError, match=said):
        build_plan(change(graphs["fp32"]), TARGET)


def tiny(name="image", shape=("N", 8, 8, 3), kind=TensorProto.UINT8) -> bytes:
    """A graph that only casts."""
    value = helper.make_tensor_value_info(name, kind, shape)
    out = helper.make_tensor_value_info("score", TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node("Cast", [name], ["score"], to=TensorProto.FLOAT)], "g", [value], [out])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


@needs_rtx
@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (tiny(name="pixels"), {}, "takes 'pixels'.*one `image`"),
        (tiny(shape=("N", 8, 3)), {}, "has to take one `image`"),
        (tiny(shape=("N", "H", "W", 3)), {}, "has to take one `image`"),
        (tiny(shape=(1, 8, 8, 3)), {"max_batch": 4}, "takes batches of 1 only.*free batch"),
        (tiny(), {"compute_capabilities": ("8.7",)}, "no plan for compute capability '8.7'.*choose from .*8.6, 8.9"),
        (tiny(), {"compute_capabilities": ("newest",)}, "no plan for compute capability 'newest'"),
        (tiny(), {"dla": 0}, "no DLA core 0: this machine or this version of the library has none.*leave --dla out"),
        (tiny(), {"hardware_compatibility": "ampere-plus"}, "--hardware-compatibility ampere-plus is not.*capability"),
        (tiny(), {"version_compatible": True}, "--version-compatible: no two versions"),
    ],
)
def test_what_cannot_be_built_says_why(model, options, said):
    with pytest.raises(EngineError, match=said):
        build_plan(model, TARGET, PlanOptions(**options))
    if model == tiny():
        with pytest.raises(EngineError, match=said):
            check_options(TARGET, PlanOptions(**options))


@needs_rtx
@pytest.mark.skipif(gpu.unavailable() is None, reason="there is a GPU")
@pytest.mark.parametrize("option", ["strip_weights", "refit"])
def test_plans_that_take_weights_later_need_a_gpu(graphs, option):
    name = f"--{option.replace('_', '-')}"
    with pytest.raises(EngineError, match=f"{name} needs a GPU .*, tensorrt-rtx, leave it out"):
        build_plan(graphs["fp32"], TARGET, PlanOptions(**{option: True}))


@needs_rtx
def test_the_workspace_is_kept_to(graphs):
    """So little that no kernel fits, which shows that the library has heard of it, in MiB."""
    model = onnx.load_from_string(graphs["fp32"])
    with pytest.raises(EngineError, match=r"cannot be built \(.*within workspace limit"):
        build_plan(model.SerializeToString(), TARGET, PlanOptions(workspace=1, compute_capabilities=("8.6",)))


@needs_rtx
def test_a_timing_cache_is_left_alone(graphs, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    key = TimingKey(TARGET, "1.7", "Some GPU", "8.6", "580")
    assert build_plan(graphs["int8"], TARGET, timings=key).data
    assert list(tmp_path.iterdir()) == []


@needs_rtx
def test_a_plan_is_of_the_capabilities_named(graphs):
    """The same ones give the same plan, and any others another."""
    wishes = [("8.6",), ("8.6",), ("8.9",), ("8.6", "8.9"), ("8.6", "8.9", "12.0")]
    options = [PlanOptions(max_batch=BATCH, compute_capabilities=wanted) for wanted in wishes]
    plans = [build_plan(graphs["fp16"], TARGET, each).data for each in options]
    assert plans[0] == plans[1]
    assert len(set(plans)) == len({each.changes["compute_capabilities"] for each in options}) == 4


@needs_rtx
@pytest.mark.parametrize(
    "options",
    [
        {"min_batch": 2, "opt_batch": 3, "max_batch": 4},
        {"workspace": 64, "optimization_level": 0},
        {"optimization_level": 5},
        {"opt_batch": 4, "compute_capabilities": ("8.6", "8.9", "12.0")},
        {"compute_capabilities": ("12.0",), "tf32": True},
    ],
)
def test_options_are_taken(graphs, options):
    report = convolution_report(build_plan(graphs["int8"], TARGET, PlanOptions(**options)).layers)
    assert (report.int8, report.total) == (7, 7)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"opt_batch": 2, "max_batch": 1}, "not in order from 1"),
        ({"min_batch": 3, "opt_batch": 2}, "not in order from 1"),
        ({"min_batch": 0}, "not in order from 1"),
        ({"workspace": 0}, "a workspace of 0 MiB"),
        ({"dla": -1}, "DLA core -1"),
        ({"hardware_compatibility": "all"}, "'all' is none of ampere-plus, same-compute-capability"),
        ({"optimization_level": 6}, "not 0 to 5"),
    ],
)
def test_options_that_contradict_are_refused_at_once(options, said):
    with pytest.raises(EngineError, match=said):
        PlanOptions(**options)


@pytest.fixture
def without_libraries(monkeypatch):
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    tensorrt.bindings.cache_clear()
    yield
    tensorrt.bindings.cache_clear()


@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-rtx"])
def test_a_missing_library_says_what_to_install(without_libraries, target):
    with pytest.raises(EngineUnavailable, match=rf"install edgead\[{target}\]"):
        build_plan(b"", target)
    assert f"install edgead[{target}]" in unavailable(target)
