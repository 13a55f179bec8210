"""Bundles and engines: deterministic, verified, and kept only when they stayed right."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from edgead.bundle import read_bundle
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines import openvino
from edgead.engines.cache import cache_folder
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.openvino import OpenVinoEngine
from edgead.errors import EngineError, EngineUnavailable, GateRefused
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.export.build import build_engine
from edgead.export.graph import to_graph
from edgead.export.options import BuildOptions
from edgead.export.plan_options import PlanOptions
from edgead.export.verification.gate import Budget
from edgead.export.verification.parity import check_runtime
from edgead.export.verification.verifier import usual_threshold
from edgead.loading import load
from edgead.training.models import build


@pytest.fixture
def bundle(fp32_bundle, tmp_path):
    return shutil.copy(fp32_bundle, tmp_path / "part.edgead")


def cached():
    return sorted(path.name for path in cache_folder().glob("*")) if cache_folder().exists() else []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "mixed"])
def test_an_engine_is_verified_kept_and_preferred(bundle, parts, precision):
    report = build_engine(bundle, read_dataset(parts), BuildOptions(precision=precision, target="openvino"))
    assert report.engine.name in cached()
    read = read_bundle(bundle)
    assert read.manifest.preferred == precision
    comparison = read.manifest.variant(precision).verification
    assert comparison["target"] == "openvino" and not comparison["emulated"]
    assert comparison["reference"]["image_auroc"] - comparison["metrics"]["image_auroc"] <= 0.005
    assert comparison["budget"]["max_drop"] == 0.005 and 0 <= comparison["map_error"] < 0.3
    assert report.layers == 9
    assert report.int8_layers == (9 if precision in ("int8", "mixed") else 0)
    with load(bundle) as detector:
        assert detector.precision == precision


def test_the_same_images_give_the_same_bundle(fp32_bundle, parts, tmp_path):
    written = []
    for name in "ab":
        path = shutil.copy(fp32_bundle, tmp_path / name)
        build_engine(path, read_dataset(parts), BuildOptions(target="openvino"))
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_the_calibration_is_on_record_without_paths(bundle, parts):
    build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino", calibration_size=7))
    record = json.loads(read_bundle(bundle).members["calibration.json"])
    assert len(record["images"]) == 7
    assert all(image["name"].startswith("train/good/") and len(image["sha256"]) == 64 for image in record["images"])
    assert str(parts) not in json.dumps(record)


def test_a_refused_engine_leaves_bundle_and_cache_as_they_were(bundle, parts):
    before, entries = bundle.read_bytes(), cached()
    with pytest.raises(GateRefused):
        build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino", budget=Budget(max_map_error=0)))
    assert bundle.read_bytes() == before
    assert cached() == entries
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_runtime_that_computes_something_else_is_caught(bundle, parts, monkeypatch):
    """Another graph's engine: as good at telling parts apart, so that no metric falls, and not the same map."""
    before = bundle.read_bytes(), cached()
    compiled = openvino.compile_graph

    def other(graph):
        model = onnx.load_from_string(graph)
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = ["its_map" if name == "anomaly_map" else name for name in names]
        model.graph.node.append(onnx.helper.make_node("Mul", ["its_map", "its_map"], ["anomaly_map"]))
        return compiled(model.SerializeToString())

    monkeypatch.setattr(openvino, "compile_graph", other)
    with pytest.raises(GateRefused, match="another anomaly_map than on ONNX Runtime"):
        build_engine(bundle, read_dataset(parts), BuildOptions(precision="fp32", target="openvino"))
    assert (bundle.read_bytes(), cached()) == before


@pytest.mark.parametrize("broken", ["score", "anomaly_map"])
def test_every_output_is_held_against_the_reference(fp32_bundle, parts, broken):
    """With nothing in it that a person could tell: a score of half its size, or a map that is shifted by a pixel."""

    class Other(OnnxRuntimeEngine):
        def _infer(self, image):
            answers = super()._infer(image)
            spoilt = answers[broken] / 2 if broken == "score" else np.roll(answers[broken], 8, axis=1)
            return {**answers, broken: spoilt}

    graph, images = read_bundle(fp32_bundle).graph("fp32"), load_images(read_dataset(parts).test, 64, 64)[:8]
    scale = float(np.ptp(read_bundle(fp32_bundle).manifest.variant("fp32").score_range))
    with OnnxRuntimeEngine(graph, max_batch=8) as right:
        assert max(check_runtime(right, graph, images, scale).values()) == 0
    with Other(graph, max_batch=8) as wrong, pytest.raises(GateRefused, match=f"another {broken} than"):
        check_runtime(wrong, graph, images, scale)


def test_a_map_that_hardly_varies_is_no_fault(small, parts):
    """A plain classifier gives its score at every place: one image has a map without any spread."""
    torch.manual_seed(0)
    graph = to_graph(build("leanet", {**small["leanet"], "external": "none"}).eval(), 64, 64, 1)
    images = load_images(read_dataset(parts).test, 64, 64)
    with OpenVinoEngine(openvino.compile_graph(graph), max_batch=1) as engine:
        for image in images[:6]:
            assert check_runtime(engine, graph, image[None], 1.0)["anomaly_map"] < 0.1


@pytest.mark.parametrize(
    ("image", "warn", "usual"),
    [
        (("tail", {}), ("tail", {}), "tail"),
        (("quantile+margin", {"no_tail": "too few"}), ("tail", {}), "tail"),
        (("quantile+margin", {}), ("quantile", {}), "quantile"),
        (("f1", {}), ("quantile", {}), "quantile"),
        (("f1", {}), ("tail", {}), "tail"),
        (("probability", {}), ("tail", {}), "probability"),
    ],
)
def test_thresholds_are_found_again_as_they_were(fp32_bundle, image, warn, usual):
    manifest = read_bundle(fp32_bundle).manifest
    found = Thresholds(Threshold(2.0, *image), Threshold(1.0, *warn), Threshold(1.0, "tail", {}))
    variant = replace(manifest.variant("fp32"), thresholds=found)
    assert usual_threshold(replace(manifest, variants={"fp32": variant})) == usual


def test_thresholds_are_refitted_for_the_engine(bundle, parts):
    report = build_engine(bundle, read_dataset(parts), BuildOptions(target="openvino"))
    fp32, int8 = (report.bundle.manifest.variant(name).thresholds.image.value for name in ("fp32", "int8"))
    assert fp32 != int8
    assert int8 == pytest.approx(fp32, rel=0.5)


def test_a_folder_of_good_images_is_enough(bundle, parts):
    good = read_dataset(parts / "train" / "good")
    report = build_engine(bundle, good, BuildOptions(target="openvino"))
    assert report.comparison.painted and report.comparison.good == report.comparison.bad > 0
    assert report.bundle.manifest.variant("int8").metrics is None  # painted defects say nothing of real ones


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_for_a_gpu_elsewhere_is_emulated_and_says_so(bundle, parts, precision):
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    options = BuildOptions(precision=precision, target="tensorrt-rtx", plan=PlanOptions(compute_capabilities=("8.6",)))
    report = build_engine(bundle, read_dataset(parts), options)
    assert len(report.plan) > 10_000
    if report.engine is None:  # no GPU here
        assert report.comparison.emulated and report.comparison.target == "openvino"
    assert (report.int8_layers, report.layers) == ((9 if precision == "int8" else 0), 9)
    assert not report.others or precision != "int8"


def test_a_target_that_is_not_here_says_what_to_install(bundle, parts):
    with pytest.raises((EngineUnavailable, EngineError), match="tensorrt"):
        build_engine(bundle, read_dataset(parts), BuildOptions(precision="fp32", target="tensorrt"))


def test_progress_tells_every_phase(bundle, parts):
    seen: dict[str, list[int]] = {}
    build_engine(
        bundle,
        read_dataset(parts),
        BuildOptions(target="openvino"),
        progress=lambda what, done, total: seen.setdefault(what, []).append(done),
    )
    assert {"reading images", "calibrating", "compiling", "running openvino", "running onnxruntime"} <= set(seen)
    assert all(np.diff(done).min(initial=0) >= 0 for done in (seen["calibrating"], seen["compiling"]))
