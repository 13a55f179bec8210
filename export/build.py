"""Build an engine for a device, prove that it stayed right, and only then keep it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgead.bundle import GRAPH, Bundle, change_bundle, read_bundle
from edgead.calibration.calibration_set import RECORD, SIZE, again, choose_images, read_record
from edgead.calibration.images import Roles, assign_roles
from edgead.calibration.quantize import MAX_LAYER_ERROR, quantize
from edgead.calibration.ranges import activation_ranges
from edgead.calibration.suitability import check_suitable
from edgead.data.layout import Dataset, Sample
from edgead.data.loading import load_images
from edgead.engines import cache, openvino, tensorrt
from edgead.engines.base import Engine
from edgead.engines.cache import EngineKey
from edgead.engines.choice import choose as choose_engine
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.targets import candidates, choose
from edgead.engines.tensorrt import TensorRtEngine
from edgead.errors import EngineError
from edgead.export.package import PARITY_IMAGES, score_range, thresholds_of
from edgead.export.parity import check_runtime
from edgead.export.precision import to_fp16
from edgead.export.tensorrt import Plan, PlanOptions, build_plan, check_options, convolution_report
from edgead.export.trials import AUTO, Compared, Trial, best, try_methods
from edgead.export.verify import Answers, Comparison, check_gate, compare, run_all
from edgead.loading import engine_key
from edgead.manifest import Manifest, Variant
from edgead.progress import Progress, silent

Run = Callable[[bytes, Progress], Engine]
"""The engine of a graph, to be entered."""


@dataclass(frozen=True)
class BuildOptions:
    """precision, target: what to build. select, calibration_size: which images set INT8's ranges. method: how those are
    found; by `auto`, as costs least of the detector on held-out images. max_layer_error: the change of a layer's answer
    beyond which it stays in float. threshold: how thresholds are fitted; where it is empty, as `usual_threshold` says.
    max_drop: the budget of the gate, in AUROC. plan: how TensorRT builds; the largest batch is the bundle's."""

    precision: str = "int8"
    target: str = "auto"
    method: str = "minmax"
    select: str = "random"
    calibration_size: int = SIZE
    max_layer_error: float = MAX_LAYER_ERROR
    threshold: str = ""
    max_drop: float = 0.01
    plan: PlanOptions = field(default_factory=PlanOptions)


@dataclass(frozen=True)
class BuildReport:
    """What was built. bundle: with the new precision. engine: its entry in the cache, None where it is for another
    device. plan: the serialised engine. comparison: with the fp32 graph. int8_layers, layers: convolutions and matrix
    products that compute in INT8, and all of them; others: why each of the rest does not, as far as the runtime
    tells. plugins: nodes of our operators that TensorRT runs as plugins; bodies: `name: why not`, for the others.
    gpu_layers: of a plan for the DLA, layers that the GPU runs all the same."""

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
    gpu_layers: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What speaks against the calibration images; empty where the graph is not calibrated."""
        warnings: list[str] = read_record(self.bundle)["warnings"] if self.precision == "int8" else []
        return warnings

    @property
    def calibration(self) -> dict[str, Any]:
        """`method`: how the INT8 ranges were found, None where the graph has none; `trials`: what each method gave,
        empty where they were not tried."""
        record = read_record(self.bundle) if self.precision == "int8" else {"method": None, "trials": []}
        return {name: record[name] for name in ("method", "trials")}

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
            "gpu_layers": list(self.gpu_layers),
            "warnings": self.warnings,
            "calibration": self.calibration,
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
    report says that it was emulated. What other builds add to the bundle in the meantime stays there.

    Raises GateRefused outside the budget, BundleError where the bundle was exported again meanwhile, EngineError where
    the cache cannot be written; then neither the bundle nor the cache has changed, nor where the build is killed.
    """
    options = options or BuildOptions()
    bundle = read_bundle(path)
    target = choose_target(options.target)
    options = replace(options, plan=_plan_options(options.plan, bundle, target))
    roles = assign_roles(dataset, bundle.manifest)
    runs_here = next(c for c in candidates() if c.target == target).reason is None

    def run(graph: bytes, told: Progress, plan: Plan | None = None) -> Engine:
        if not runs_here:
            return _runner(openvino.compile_graph(graph), "openvino", bundle, graph, options)
        plan = plan or _compile(graph, target, options, told)[0]
        return _runner(plan.data, target, bundle, graph, options)

    graph, members = make_graph(bundle, roles, options, progress, run=run, labelled=labelled)
    plan, convolutions = _compile(graph, target, options, progress)
    with run(graph, progress, plan) as engine:
        _hold_against_reference(engine, graph, bundle.manifest, roles)
        variant, comparison = verify(
            bundle, engine, roles, options, labelled, emulated=not runs_here, progress=progress
        )
    comparison = check_gate(comparison, options.max_drop, f"{path} {options.precision} on {target}")
    variant = replace(variant, verification=comparison.to_json())

    def add(now: Bundle) -> Bundle:
        return now.with_variant(options.precision, variant, members).preferring(options.precision)

    # The engine takes its place after the bundle: an entry in the cache means that the build was whole.
    keeping: AbstractContextManager[Path | None] = nullcontext()
    if runs_here:
        keeping = cache.storing(_key(add(bundle), target, options.precision, options.plan.changes), plan.data)
    with keeping as entry:
        built = change_bundle(path, bundle, add)
        if runs_here and target != "openvino":
            choose_engine(_key(built, target, options.precision, {}), options.plan.changes)
    return BuildReport(
        built,
        target,
        options.precision,
        entry,
        plan.data,
        comparison,
        *convolutions,
        plan.plugins,
        plan.bodies,
        plan.gpu_layers,
    )


def _plan_options(options: PlanOptions, bundle: Bundle, target: str) -> PlanOptions:
    """With the bundle's largest batch. Raises EngineError for what the target lacks, before anything is made."""
    if target == "openvino":
        if options.changes:
            names = ", ".join(name.replace("_", "-") for name in options.changes)
            raise EngineError(f"options of TensorRT are given: {names}", target, "leave them out, or change the target")
        return options
    options = replace(options, max_batch=bundle.manifest.max_batch)
    if options.changes:
        check_options(target, options)
    return options


def _key(bundle: Bundle, target: str, precision: str, changes: Mapping[str, str]) -> EngineKey:
    """The cache key of an engine built here with these options."""
    if target == "openvino":
        return engine_key(bundle, target, precision)
    return tensorrt.engine_key(bundle.graph(precision), precision, (1, bundle.manifest.max_batch), target, changes)


def choose_target(target: str) -> str:
    """The target to build for: with `auto`, what runs here; by name, also one that is only built here and runs
    elsewhere."""
    return choose() if target == "auto" else target


def make_graph(
    bundle: Bundle,
    roles: Roles,
    options: BuildOptions,
    progress: Progress = silent,
    *,
    like: Mapping[str, Any] | None = None,
    run: Run | None = None,
    labelled: Sequence[Sample] = (),
) -> tuple[bytes, dict[str, bytes]]:
    """The graph of the precision asked for, and the bundle members that hold it and how it was calibrated.

    like: the record of a calibration whose images are to calibrate again, in place of a new choice.
    run: what `auto` tries the methods of calibration on, by default ONNX Runtime; labelled: as in `verify`. Raises
    GateRefused where none of them stays in the budget.
    """
    source = bundle.graph("fp32")
    if options.precision == "fp32":
        return source, {}
    if options.precision == "fp16":
        graph = to_fp16(source)
        return graph, {GRAPH["fp16"]: graph}
    if like is not None:
        chosen = again(like, roles.calibration)
    else:
        select, size = options.select, options.calibration_size
        chosen = choose_images(roles.calibration, bundle, select=select, size=size, progress=progress)
    images = load_images(chosen.samples, bundle.manifest.height, bundle.manifest.width, progress)
    chosen = check_suitable(chosen, images, bundle, progress)

    def quantised(method: str, told: Progress) -> bytes:
        return quantize(source, images, method=method, max_layer_error=options.max_layer_error, progress=told)

    trials: tuple[Trial, ...] = ()
    if options.method == AUTO:
        trials = try_methods(quantised, _comparing(bundle, roles, options, run, labelled, progress), progress)
        kept = best(trials, options.max_drop, "calibration")
    else:
        kept = Trial(options.method, quantised(options.method, progress))
    method, graph = kept.method, kept.graph
    record = {
        "method": method,
        "trials": [trial.to_json() for trial in trials],
        "max_layer_error": options.max_layer_error,
        "ranges": activation_ranges(graph),
        **chosen.to_json(),
    }
    text = json.dumps(record, indent=1, sort_keys=True).encode()
    return graph, {GRAPH["int8"]: graph, RECORD: text}


def _comparing(
    bundle: Bundle,
    roles: Roles,
    options: BuildOptions,
    run: Run | None,
    labelled: Sequence[Sample],
    progress: Progress,
) -> Compared:
    """What compares a graph with fp32 as the gate does, where fp32 runs once for all of them."""
    expected = _expected(bundle, roles, progress)

    def compared(graph: bytes, told: Progress) -> Comparison:
        with run(graph, told) if run else OnnxRuntimeEngine(graph, max_batch=bundle.manifest.max_batch) as engine:
            return verify(bundle, engine, roles, options, labelled, expected=expected, progress=told)[1]

    return compared


def _expected(bundle: Bundle, roles: Roles, progress: Progress) -> Answers:
    """What the fp32 graph says of the images of the comparison."""
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=bundle.manifest.max_batch) as reference:
        return run_samples(reference, roles.test or roles.validation, bundle.manifest, progress)


def verify(
    bundle: Bundle,
    engine: Engine,
    roles: Roles,
    options: BuildOptions,
    labelled: Sequence[Sample] = (),
    *,
    emulated: bool = False,
    expected: Answers | None = None,
    progress: Progress = silent,
) -> tuple[Variant, Comparison]:
    """Fit the engine's own thresholds on the normal images held out in training, and compare it with the fp32 graph on
    the test images, or where there are none on the same normal ones. labelled: defects, for the threshold `f1`.
    expected: what the fp32 graph says of them, where that is known already."""
    manifest = bundle.manifest
    normal = run_samples(engine, roles.validation, manifest, progress)
    bad = run_samples(engine, labelled, manifest, progress).scores if labelled else None
    thresholds = thresholds_of(normal, options.threshold or usual_threshold(manifest), bad)
    samples = roles.test or roles.validation
    answers = run_samples(engine, roles.test, manifest, progress) if roles.test else normal
    comparison = compare(
        samples,
        expected or _expected(bundle, roles, progress),
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


def _compile(
    graph: bytes, target: str, options: BuildOptions, progress: Progress
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
    timings = tensorrt.timing_key(target) if target == "tensorrt" else None
    plan = build_plan(graph, target, options.plan, timings=timings, progress=progress)
    report = convolution_report(plan.layers)
    return plan, (report.int8, report.total, report.others)


def _runner(engine: bytes, target: str, bundle: Bundle, graph: bytes, options: BuildOptions) -> Engine:
    if target == "openvino":
        return openvino.OpenVinoEngine(engine, max_batch=bundle.manifest.max_batch)
    batch = bundle.manifest.max_batch
    return TensorRtEngine(engine, target, max_batch=batch, graph=graph, options=options.plan.changes)
