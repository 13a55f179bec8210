"""Build an engine for a device, prove that it stayed right, and only then keep it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgead.bundle import GRAPH, Bundle, read_bundle
from edgead.calibration.images import Roles, assign_roles
from edgead.calibration.quantize import MAX_LAYER_ERROR, quantize
from edgead.data.layout import Dataset, Sample
from edgead.data.loading import image_bytes, load_images
from edgead.engines import cache, openvino
from edgead.engines.base import Engine
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.targets import candidates, choose
from edgead.engines.tensorrt import TensorRtEngine
from edgead.export.package import PARITY_IMAGES, score_range, thresholds_of
from edgead.export.parity import check_runtime
from edgead.export.precision import to_fp16
from edgead.export.tensorrt import Plan, PlanOptions, build_plan, convolution_report
from edgead.export.verify import Answers, Comparison, check_gate, compare, run_all
from edgead.loading import engine_key
from edgead.manifest import Manifest, Variant
from edgead.progress import Progress, silent


@dataclass(frozen=True)
class BuildOptions:
    """precision, target: what to build. method, calibration_size: how INT8 ranges are found. max_layer_error: the
    change of a layer's answer beyond which it stays in float. threshold: how thresholds are fitted; where it is empty,
    as `usual_threshold` says. max_drop: the budget of the gate, in AUROC. compute_capabilities: GPUs to build for,
    TensorRT-RTX only."""

    precision: str = "int8"
    target: str = "auto"
    method: str = "minmax"
    calibration_size: int = 128
    max_layer_error: float = MAX_LAYER_ERROR
    threshold: str = ""
    max_drop: float = 0.01
    compute_capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildReport:
    """What was built. bundle: with the new precision. engine: its entry in the cache, None where it is for another
    device. plan: the serialised engine. comparison: with the fp32 graph. int8_layers, layers: convolutions and matrix
    products that compute in INT8, and all of them; others: why each of the rest does not, as far as the runtime
    tells. plugins: nodes of our operators that TensorRT runs as plugins; bodies: `name: why not`, for the others."""

    bundle: Bundle
    target: str
    precision: str
    engine: Path | None
    plan: bytes
    comparison: Comparison
    int8_layers: int
    layers: int
    others: tuple[str, ...]
    plugins: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "precision": self.precision,
            "engine": str(self.engine) if self.engine else None,
            "bytes": len(self.plan),
            "verification": self.comparison.to_json(),
            "int8_layers": self.int8_layers,
            "layers": self.layers,
            "others": list(self.others),
            "plugins": list(self.plugins),
            "bodies": list(self.bodies),
        }


def build_engine(
    path: Path,
    dataset: Dataset,
    options: BuildOptions | None = None,
    *,
    labelled: Sequence[Sample] = (),
    progress: Progress = silent,
) -> BuildReport:
    """Build, verify and keep an engine for `path`, a bundle; the bundle then holds the graph, its thresholds and the
    proof.

    `dataset` gives the calibration images, the normal images that the thresholds are fitted on, and, where it has them,
    labelled images for the comparison. Where the target cannot run here, the same graph is verified on OpenVINO and the
    report says that it was emulated. Raises GateRefused outside the budget; then neither the bundle nor the cache has
    changed.
    """
    options = options or BuildOptions()
    bundle = read_bundle(path)
    target = choose_target(options.target)
    roles = assign_roles(dataset, bundle.manifest, options.calibration_size)
    graph, members = make_graph(bundle, roles, options, progress)
    plan, convolutions = _compile(graph, bundle, target, options, progress)
    runs_here = next(c for c in candidates() if c.target == target).reason is None
    with _runner(
        plan.data if runs_here else openvino.compile_graph(graph), target if runs_here else "openvino", bundle
    ) as engine:
        _hold_against_reference(engine, graph, bundle.manifest, roles)
        variant, comparison = verify(
            bundle, engine, roles, options, labelled, emulated=not runs_here, progress=progress
        )
    comparison = check_gate(comparison, options.max_drop, f"{path} {options.precision} on {target}")
    variant = replace(variant, verification=comparison.to_json())
    built = bundle.with_variant(options.precision, variant, members).preferring(options.precision)
    entry = cache.store(engine_key(built, target, options.precision), plan.data) if runs_here else None
    built.write(path)
    return BuildReport(
        built, target, options.precision, entry, plan.data, comparison, *convolutions, plan.plugins, plan.bodies
    )


def choose_target(target: str) -> str:
    """The target to build for: with `auto`, what runs here; by name, also one that is only built here and runs
    elsewhere."""
    return choose() if target == "auto" else target


def make_graph(
    bundle: Bundle, roles: Roles, options: BuildOptions, progress: Progress = silent
) -> tuple[bytes, dict[str, bytes]]:
    """The graph of the precision asked for, and the bundle members that hold it and how it was calibrated."""
    source = bundle.graph("fp32")
    if options.precision == "fp32":
        return source, {}
    if options.precision == "fp16":
        graph = to_fp16(source)
        return graph, {GRAPH["fp16"]: graph}
    images = load_images(roles.calibration, bundle.manifest.height, bundle.manifest.width, progress)
    graph = quantize(source, images, method=options.method, max_layer_error=options.max_layer_error, progress=progress)
    record = {
        "method": options.method,
        "max_layer_error": options.max_layer_error,
        "seed": bundle.manifest.training.get("seed", 0),
        "images": [_image_record(sample) for sample in roles.calibration],
    }
    text = json.dumps(record, indent=1, sort_keys=True).encode()
    return graph, {GRAPH["int8"]: graph, "calibration.json": text}


def verify(
    bundle: Bundle,
    engine: Engine,
    roles: Roles,
    options: BuildOptions,
    labelled: Sequence[Sample] = (),
    *,
    emulated: bool = False,
    progress: Progress = silent,
) -> tuple[Variant, Comparison]:
    """Fit the engine's own thresholds on the normal images held out in training, and compare it with the fp32 graph on
    the test images, or where there are none on the same normal ones. `labelled`: defects, for the threshold `f1`."""
    manifest = bundle.manifest
    normal = run_samples(engine, roles.validation, manifest, progress)
    bad = run_samples(engine, labelled, manifest, progress).scores if labelled else None
    thresholds = thresholds_of(normal, options.threshold or usual_threshold(manifest), bad)
    samples = roles.test or roles.validation
    answers = run_samples(engine, roles.test, manifest, progress) if roles.test else normal
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=manifest.max_batch) as reference:
        expected = run_samples(reference, samples, manifest, progress)
    comparison = compare(
        samples,
        expected,
        answers,
        manifest.variant("fp32").thresholds,
        thresholds,
        target=engine.name,
        emulated=emulated,
    )
    metrics = {
        "image_auroc": comparison.image_auroc,
        "pixel_auroc": comparison.pixel_auroc,
        "images": comparison.images,
    }
    return Variant(GRAPH[options.precision], thresholds, score_range(normal, thresholds), metrics), comparison


def _hold_against_reference(engine: Engine, graph: bytes, manifest: Manifest, roles: Roles) -> None:
    """Run the engine's own graph on ONNX Runtime, on good images and, where there are some, on as many bad ones."""
    bad = [sample for sample in roles.test if sample.anomalous]
    half = max(1, min(PARITY_IMAGES, manifest.max_batch) // 2)
    low, high = manifest.variant("fp32").score_range
    for samples in (roles.validation[:half], bad[:half]):
        if samples:
            check_runtime(engine, graph, load_images(samples, manifest.height, manifest.width), high - low)


def usual_threshold(manifest: Manifest) -> str:
    """How the exported thresholds were found, where good images are enough to find them so again; beside one of
    labelled images, the warn threshold tells."""
    image, warn = manifest.variant("fp32").thresholds.image, manifest.variant("fp32").thresholds.warn
    if image.method == "probability":
        return image.method
    asked = image if image.method != "f1" else warn
    # Where `tail` fell back to a quantile, it says why.
    return "quantile" if asked.method.startswith("quantile") and "no_tail" not in asked.detail else "tail"


def run_samples(engine: Engine, samples: Sequence[Sample], manifest: Manifest, progress: Progress = silent) -> Answers:
    """What a running engine says of each image."""
    images = load_images(samples, manifest.height, manifest.width, progress)
    return run_all(engine.infer, images, manifest.max_batch, progress, f"running {engine.name}")


def _image_record(sample: Sample) -> dict[str, str]:
    return {"name": sample.name, "sha256": hashlib.sha256(image_bytes(sample)).hexdigest()}


def _compile(
    graph: bytes, bundle: Bundle, target: str, options: BuildOptions, progress: Progress
) -> tuple[Plan, tuple[int, int, tuple[str, ...]]]:
    if target == "openvino":
        progress("compiling", 0, 1)
        engine = openvino.compile_graph(graph)
        progress("compiling", 1, 1)
        layers = [
            layer
            for layer in openvino.layer_precisions(engine)
            if layer.kind in ("Convolution", "FullyConnected", "MatMul")
        ]
        others = tuple(f"{layer.name}: {layer.precision}" for layer in layers if layer.precision not in ("u8", "i8"))
        return Plan(engine, target, openvino.runtime_version(), ()), (len(layers) - len(others), len(layers), others)
    batches = PlanOptions(max_batch=bundle.manifest.max_batch, compute_capabilities=options.compute_capabilities)
    plan = build_plan(graph, "tensorrt-rtx" if target == "tensorrt-rtx" else "tensorrt", batches, progress=progress)
    report = convolution_report(plan.layers)
    return plan, (report.int8, report.total, report.others)


def _runner(engine: bytes, target: str, bundle: Bundle) -> Engine:
    if target == "openvino":
        return openvino.OpenVinoEngine(engine, max_batch=bundle.manifest.max_batch)
    return TensorRtEngine(engine, target, max_batch=bundle.manifest.max_batch)
