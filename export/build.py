"""Build an engine for a device, prove that it stayed right, and only then keep it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgead.bench.ratio import relative_time
from edgead.bundle import Bundle, change_bundle, read_bundle
from edgead.calibration.calibration_set import RECORDS, read_record
from edgead.calibration.images import assign_roles
from edgead.data.layout import Dataset, Sample
from edgead.engines import cache, openvino, tensorrt
from edgead.engines.base import Engine
from edgead.engines.choice import choose as choose_engine
from edgead.engines.targets import candidates, choose
from edgead.errors import EngineError
from edgead.export import mixed
from edgead.export.graphs import make_graph
from edgead.export.options import BuildOptions
from edgead.export.tensorrt import Plan, PlanOptions, build_plan, check_options, convolution_report
from edgead.export.verification.comparison import Comparison
from edgead.export.verification.gate import check_gate
from edgead.export.verification.verifier import Verifier
from edgead.loading import as_engine, engine_key
from edgead.progress import Progress, silent


@dataclass(frozen=True)
class BuildReport:
    """What was built. bundle: with the new precision. engine: its entry in the cache, None where it is for another
    device. plan: the serialised engine. comparison: with the fp32 graph. int8_layers, layers: convolutions and matrix
    products that compute in INT8, and all of them; others: why each of the rest does not, as far as the runtime
    tells. plugins: nodes of our operators that TensorRT runs as plugins; bodies: `name: why not`, for the others.
    gpu_layers: of a plan for the DLA, layers that the GPU runs all the same. pace: the time of an image as a share of
    the fp32 engine's, None where that was not at hand."""

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
    pace: float | None = None

    @property
    def warnings(self) -> list[str]:
        """What speaks against the calibration images; empty where the graph is not calibrated."""
        warnings: list[str] = self._record()["warnings"]
        return warnings

    @property
    def calibration(self) -> dict[str, Any]:
        """How the ranges of INT8 were found, as the record in the bundle says; without one, `method` is None."""
        record = self._record()
        return {name: record[name] for name in ("method", "trials", "layers")}

    def _record(self) -> dict[str, Any]:
        if self.precision in RECORDS:
            return read_record(self.bundle, self.precision)
        return {"method": None, "trials": [], "layers": [], "warnings": []}

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
            "pace": self.pace,
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
    verifier = Verifier(bundle, roles, options.threshold, labelled, progress, choosing=options.chooses)

    def run(graph: bytes, told: Progress, plan: Plan | None = None) -> Engine:
        if not runs_here:
            return as_engine(openvino.compile_graph(graph), "openvino", bundle, graph, {})
        plan = plan or _compile(graph, target, options, told)[0]
        return as_engine(plan.data, target, bundle, graph, options.plan.changes)

    graph, members = make_graph(bundle, roles, options, verifier, progress, run=run)
    plan, convolutions = _compile(graph, target, options, progress)
    with run(graph, progress, plan) as engine:
        verifier.check_runtime(engine, graph)
        verified = verifier.verify(engine, emulated=not runs_here, progress=progress)
        what, todo = f"{path} {options.precision} on {target}", mixed.MENDS if options.precision == "mixed" else ""
        comparison = check_gate(verified.comparison, options.budget, what, todo=todo)
        pace = _pace(bundle, engine, target, options.precision) if runs_here else None
    variant = replace(verified, comparison=comparison).variant(options.precision)

    def add(now: Bundle) -> Bundle:
        return now.with_variant(options.precision, variant, members).preferring(options.precision)

    entry = None
    if runs_here:
        built, entry = _keep(path, bundle, add, target, options, plan.data)
    else:
        built = change_bundle(path, bundle, add)
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
        pace,
    )


def _keep(
    path: Path, bundle: Bundle, add: Callable[[Bundle], Bundle], target: str, options: BuildOptions, engine: bytes
) -> tuple[Bundle, Path]:
    """Change the bundle and put the engine into this machine's cache: the changed bundle, and the entry. The engine
    takes its place after the bundle, so that an entry in the cache means that the build was whole."""
    with cache.storing(engine_key(add(bundle), target, options.precision, options.plan.changes), engine) as entry:
        built = change_bundle(path, bundle, add)
        if target != "openvino":
            choose_engine(engine_key(built, target, options.precision, {}), options.plan.changes)
    return built, entry


def _pace(bundle: Bundle, engine: Engine, target: str, precision: str) -> float | None:
    """The time of one image as a share of the fp32 engine's, by turns; None where that is not at hand. OpenVINO makes
    it in a second, a builder of TensorRT not."""
    if precision == "fp32":
        return None
    key = engine_key(bundle, target, "fp32")
    reference = cache.lookup(key)
    if reference is None and target == "openvino":
        reference = openvino.compile_graph(bundle.graph("fp32"))
    if reference is None:
        return None
    with as_engine(reference, target, bundle, bundle.graph("fp32"), key.options) as fp32:
        return relative_time(engine, fp32, (bundle.manifest.height, bundle.manifest.width))


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


def choose_target(target: str) -> str:
    """The target to build for: with `auto`, what runs here; by name, also one that is only built here and runs
    elsewhere."""
    return choose() if target == "auto" else target


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
