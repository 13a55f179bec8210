"""Mixed precision: the search finds few layers, and what it finds is what is built."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from edgead.bundle import read_bundle
from edgead.calibration.calibration_set import read_record
from edgead.calibration.images import assign_roles
from edgead.calibration.quantize import Quantiser
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines import openvino
from edgead.errors import CalibrationError, GateRefused
from edgead.export.build import build_engine
from edgead.export.mixed import fewest_floats
from edgead.export.options import BuildOptions
from edgead.export.verification.gate import Budget
from edgead.loading import load
from tests.export.verification.test_gate import EQUAL
from tests.lenient import LENIENT

BUDGET = replace(LENIENT, max_map_error=1.0)


def layers(costs):
    """A detector whose map is off by the sum of what its INT8 layers cost, the names of its layers, and what was
    tried."""
    names = [str(place) for place in range(len(costs))]
    tried = []

    def compared(kept):
        assert kept < set(names)
        tried.append(kept)
        return replace(EQUAL, map_error=sum(cost for name, cost in zip(names, costs, strict=True) if name not in kept))

    return sorted(names, key=lambda name: -costs[int(name)]), compared, tried


@given(st.lists(st.floats(0, 2), min_size=1, max_size=9))
def test_as_few_as_a_search_of_every_subset(costs):
    order, compared, tried = layers(costs)
    enough = [
        count
        for count in range(len(costs))
        if any(
            compared(frozenset(kept)).map_error <= BUDGET.max_map_error for kept in itertools.combinations(order, count)
        )
    ]
    tried.clear()
    if not enough:
        with pytest.raises(GateRefused, match=f"with {len(costs) - 1} of {len(costs)} layers in float"):
            fewest_floats(order, compared, BUDGET, "x")
        return
    kept = fewest_floats(order, compared, BUDGET, "x")
    assert len(kept) == enough[0]
    assert compared(kept).map_error <= BUDGET.max_map_error
    assert len(tried) == len(set(tried)) + 1  # nothing twice, but for the line above


@settings(max_examples=50)
@given(st.lists(st.floats(-1, 2), min_size=2, max_size=40))
def test_errors_that_cancel_leave_nothing_that_could_go(costs):
    order, compared, _ = layers(costs)
    try:
        kept = fewest_floats(order, compared, BUDGET, "x")
    except GateRefused:
        return
    assert not BUDGET.faults(compared(kept))


def test_a_search_of_many_layers_is_short():
    order, compared, tried = layers([5.0, 3.0, 2.0] + [0.001] * 197)
    assert fewest_floats(order, compared, BUDGET, "x") == {"0", "1", "2"}
    assert len(tried) < 12


@pytest.fixture
def bundle(fp32_bundle, tmp_path):
    return shutil.copy(fp32_bundle, tmp_path / "part.edgead")


def kept_in_float(record):
    return {layer["name"]: layer["float"] for layer in record["layers"] if layer["float"]}


def int8_layers(graph):
    model = onnx.load_from_string(graph)
    sources = {name: node.op_type for node in model.graph.node for name in node.output}
    return {
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and {sources.get(name) for name in node.input[:2]} == {"DequantizeLinear"}
    }


def test_what_the_search_finds_is_built_and_on_record(bundle, parts):
    whole = build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino", budget=LENIENT))
    budget = replace(LENIENT, max_map_error=whole.comparison.map_error / 2)
    report = build_engine(bundle, read_dataset(parts), BuildOptions("mixed", "openvino", budget=budget))
    read = read_bundle(bundle)
    record = read_record(read, "mixed")
    floats = kept_in_float(record)
    assert 0 < len(floats) < 9 and set(floats.values()) == {"the budget"}
    assert report.comparison.map_error <= whole.comparison.map_error / 2
    assert (report.int8_layers, report.layers) == (9 - len(floats), 9)
    assert int8_layers(read.graph("mixed")) == {layer["name"] for layer in record["layers"]} - set(floats)
    assert read.manifest.preferred == "mixed" and len(read.graph("mixed")) < len(read.graph("fp32"))
    # No single layer of those kept could go back: that is what `fewest` means.
    for name in floats:
        others = tuple(floats.keys() - {name})
        rest = tuple(layer["name"] for layer in record["layers"] if layer["name"] not in others)
        options = BuildOptions("mixed", "openvino", keep_float=others, keep_int8=rest, budget=budget)
        with pytest.raises(GateRefused, match="the map is off"):
            build_engine(bundle, read_dataset(parts), options)
    with load(bundle) as detector:
        assert detector.precision == "mixed"
    assert kept_in_float(read_record(read, "int8")) == {}  # the INT8 graph and its record are as they were


def test_within_the_budget_nothing_is_kept(bundle, parts):
    report = build_engine(bundle, read_dataset(parts), BuildOptions("mixed", "openvino", budget=LENIENT))
    record = read_record(report.bundle, "mixed")
    assert kept_in_float(record) == {} and report.int8_layers == 9
    errors = [layer["map_error"] for layer in record["layers"]]
    assert len(errors) == 9 and all(error > 0 for error in errors)


def test_what_is_not_int8_is_float16_up_to_the_score(bundle, parts):
    build_engine(bundle, read_dataset(parts), BuildOptions("mixed", "openvino", keep_float=("*_131",), budget=LENIENT))
    model = onnx.load_from_string(read_bundle(bundle).graph("mixed"))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 9
    assert {types[name] for node in convolutions for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}
    assert [types[output.name] for output in model.graph.output] == [TensorProto.FLOAT] * 2
    sources = {name: node.op_type for node in model.graph.node for name in node.output}
    named = next(node for node in convolutions if node.name.endswith("_131"))
    assert "DequantizeLinear" not in {sources.get(name) for name in named.input}


def test_layers_are_chosen_by_name(bundle, parts):
    names = sorted(Quantiser(read_bundle(bundle).graph("fp32"), images(parts)).layers)
    options = BuildOptions("int8", "openvino", keep_float=(names[0], names[3]), budget=LENIENT)
    report = build_engine(bundle, read_dataset(parts), options)
    assert int8_layers(report.bundle.graph("int8")) == set(names) - {names[0], names[3]}
    assert kept_in_float(read_record(report.bundle)) == {names[0]: "asked for", names[3]: "asked for"}
    module = next(layer["module"] for layer in read_record(report.bundle)["layers"] if layer["name"] == names[0])
    again = build_engine(bundle, read_dataset(parts), replace(options, keep_float=(module, names[3])))
    assert module and again.bundle.graph("int8") == report.bundle.graph("int8")
    # A limit that every layer passes, but for those asked for in INT8.
    options = BuildOptions("int8", "openvino", keep_int8=(names[1],), max_layer_error=1e-9, budget=LENIENT)
    report = build_engine(bundle, read_dataset(parts), options)
    assert int8_layers(report.bundle.graph("int8")) == {names[1]}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"keep_float": ("node_Conv_12",)}, "no layer that can read INT8 is called 'node_Conv_12'"),
        ({"keep_float": ("node_Conv_129",), "keep_int8": ("*_129",)}, "node_Conv_129 is asked for in float and in"),
        ({"keep_float": ("*",)}, "no layer is left for INT8"),
    ],
)
def test_names_that_make_no_sense_are_refused(bundle, parts, options, reason):
    before = bundle.read_bytes()
    with pytest.raises(CalibrationError, match=reason) as refusal:
        build_engine(bundle, read_dataset(parts), BuildOptions("int8", "openvino", **options))
    assert bundle.read_bytes() == before
    if "node_Conv_12'" in reason:
        assert "node_Conv_129" in refusal.value.todo


def test_the_record_of_a_layer_and_the_reason_that_it_keeps_float_are_of_one_measurement(bundle, parts):
    read = read_bundle(bundle)
    photos = assign_roles(read_dataset(parts), read.manifest).calibration
    quantiser = Quantiser(read.graph("fp32"), load_images(photos, 64, 64))
    worst = max(rounding.error for rounding in quantiser.roundings.values())
    options = BuildOptions("mixed", "openvino", max_layer_error=0.999 * worst, budget=LENIENT)
    layers = build_engine(bundle, read_dataset(parts), options).calibration["layers"]
    (kept,) = [layer for layer in layers if layer["float"]]
    assert kept["float"] == f"INT8 changes its answer by {kept['rounding']:.2f}"
    assert {layer["name"]: layer["rounding"] for layer in layers} == pytest.approx(
        {name: rounding.error for name, rounding in quantiser.roundings.items()}, rel=1e-5
    )


def test_the_same_images_give_the_same_mixed_bundle(fp32_bundle, parts, tmp_path):
    written = []
    for name in "ab":
        path = shutil.copy(fp32_bundle, tmp_path / name)
        options = BuildOptions("mixed", "openvino", budget=replace(LENIENT, max_map_error=0.03))
        build_engine(path, read_dataset(parts), options)
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_a_budget_that_no_layer_keeps_is_refused(bundle, parts):
    before = bundle.read_bytes()
    with pytest.raises(GateRefused, match=r"with 8 of 9 layers in float: the map is off") as refusal:
        build_engine(bundle, read_dataset(parts), BuildOptions("mixed", "openvino", budget=Budget(max_map_error=0)))
    assert "fp16" in refusal.value.todo and bundle.read_bytes() == before


def test_a_gpu_elsewhere_runs_the_same_layers_in_int8(bundle, parts):
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    from edgead.export.plan_options import PlanOptions

    plan = PlanOptions(compute_capabilities=("8.6",))
    options = BuildOptions("mixed", "tensorrt-rtx", keep_float=("*_131", "*_141"), budget=LENIENT, plan=plan)
    report = build_engine(bundle, read_dataset(parts), options)
    assert (report.int8_layers, report.layers) == (7, 9)
    assert all(other.split(":")[0].endswith(("_131", "_141")) and "fp16" in other for other in report.others)


def test_the_command_tells_what_it_kept(edgead, bundle, parts):
    told = edgead("build-engine", bundle, "--precision", "mixed", "--calib-data", parts, "--target", "openvino",
                  "--keep-float", "*_131", "--max-map-error", 0.9, "--max-drop", 1, "--max-changed", 1)  # fmt: skip
    assert "8 of 9 convolutions and matrix products run in INT8" in told
    assert "_131 keeps float: asked for" in told and "not node" not in told
    assert "of the time of fp32 on this machine" in told
    shown = json.loads(edgead("inspect", bundle, "--json"))
    assert shown["preferred"] == "mixed" and "model.mixed.onnx" in shown["members"]


def images(parts):
    from edgead.data.loading import load_images

    return load_images(read_dataset(parts).train, 64, 64)[:8]


def test_openvino_runs_the_layers_that_the_record_names(bundle, parts):
    options = BuildOptions("mixed", "openvino", keep_float=("*_131",), budget=LENIENT)
    graph = build_engine(bundle, read_dataset(parts), options).bundle.graph("mixed")
    found = openvino.layer_precisions(openvino.compile_graph(graph))
    convolutions = [layer.precision for layer in found if layer.kind == "Convolution"]
    assert len(convolutions) == 9 and np.isin(convolutions, ("u8", "i8")).sum() == 8
