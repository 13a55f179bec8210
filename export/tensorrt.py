"""From an ONNX graph to a TensorRT plan: `tensorrt` on the device itself, `tensorrt-rtx` on any machine.

Networks are strongly typed: the graph says what is fp32, fp16 or (as Q/DQ) int8, and the builder keeps to it. That is
all that TensorRT 11 and TensorRT for RTX know, and TensorRT 10.3 knows it too, so there is one path. See
`edgead.engines.tensorrt` on how names of the bindings are used.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from edgead import gpu
from edgead.engines import plugins, tensorrt
from edgead.engines.tensorrt import INPUT, Message, bindings, journal, load_plugins, reason
from edgead.engines.timings import TimingKey, lookup_timings, store_timings
from edgead.errors import EngineError, EngineUnavailable
from edgead.export.layers import ConvolutionReport, Layer, assign_products, convolution_report, parse_layers
from edgead.export.phases import Phases
from edgead.export.plan_options import PlanOptions
from edgead.export.plugins import Selection, select
from edgead.progress import Progress, silent

if TYPE_CHECKING:
    import tensorrt as api  # type: ignore[import-not-found,import-untyped,unused-ignore]

log = logging.getLogger(__name__)

__all__ = [
    "ConvolutionReport",
    "Layer",
    "Plan",
    "PlanOptions",
    "build_plan",
    "check_options",
    "convolution_report",
    "unavailable",
]

_CONTRACT = "it has to take one `image`, [N, H, W, 3]"
_ONE_BUILD = threading.Lock()  # the library has one log per process; two builds would read each other's layers


@dataclass(frozen=True)
class Plan:
    """A serialised engine. runtime: the target. version: of the library that built it, and that has to run it. plugins:
    nodes that run as plugins; bodies: `name: why not`, for the other nodes of our operators. gpu_layers: of a plan for
    the DLA, layers of the network that fall back to the GPU, as `name (kind)`."""

    data: bytes
    runtime: str
    version: str
    layers: tuple[Layer, ...]
    plugins: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()
    gpu_layers: tuple[str, ...] = ()


def unavailable(target: str) -> str | None:
    """Why a plan cannot be built here, or None: `tensorrt` builds on the GPU it builds for, `tensorrt-rtx` anywhere."""
    if target == "tensorrt":
        return tensorrt.unavailable(target)
    try:
        bindings(target)
    except EngineUnavailable as error:
        return ", ".join(part for part in (error.what, error.todo) if part)
    return None


def build_plan(
    model: bytes,
    target: str,
    options: PlanOptions | None = None,
    *,
    timings: TimingKey | None = None,
    progress: Progress = silent,
    cancelled: Callable[[], bool] | None = None,
) -> Plan:
    """Build a plan from a detector graph: ONNX with the input `image`, uint8 [N, H, W, 3].

    target: `tensorrt` or `tensorrt-rtx`. timings: the entry of the cache that keeps what the builder measures, for
    the next build; only that is ever written, and TensorRT for RTX measures nothing. progress: percent, never falling.
    cancelled: asked at each step of the builder; True ends the build with EngineError. Ctrl-C ends it as well, with
    KeyboardInterrupt. Raises EngineUnavailable without the library, EngineError for a graph that it refuses, naming the
    node, or for an option that it does not have.
    """
    trt = bindings(target)
    phases = Phases(progress, cancelled or (lambda: False))
    timings = timings if target == "tensorrt" else None
    # In a thread of its own: Python hears Ctrl-C in the main thread only, which would be inside the library.
    with _ONE_BUILD, ThreadPoolExecutor(1, "edgead-build") as thread:
        try:
            return thread.submit(_build, trt, model, target, options or PlanOptions(), timings, phases).result()
        except BaseException:
            phases.stop()
            raise


def check_options(target: str, options: PlanOptions) -> None:
    """Raise what `build_plan` would say of these options, before long work on the graph."""
    trt = bindings(target)
    record = journal(target)
    with _ONE_BUILD, record.listen() as messages:
        builder: api.Builder = _builder(trt, record.logger, messages, target)
        config: api.IBuilderConfig = builder.create_builder_config()
        _configure(trt, builder, config, options, target)


def _builder(trt: ModuleType, logger: api.ILogger, messages: list[Message], target: str) -> api.Builder:
    try:
        builder: api.Builder = trt.Builder(logger)
    except TypeError as error:  # the bindings' answer where the library gives no builder
        todo = "build on the device itself, or for tensorrt-rtx"
        raise EngineError(f"the builder does not start ({reason(messages)})", target, todo) from error
    return builder


def _build(
    trt: ModuleType, model: bytes, target: str, options: PlanOptions, timings: TimingKey | None, phases: Phases
) -> Plan:
    record = journal(target)
    with record.listen() as messages:
        builder: api.Builder = _builder(trt, record.logger, messages, target)
        absent: str | None = load_plugins(target) if options.plugins else "the options say so"
        bodies: dict[str, str] = dict.fromkeys(plugins.OPERATORS, absent) if absent else {}
        while True:
            selection: Selection = select(model, bodies)
            strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
            network: api.INetworkDefinition = builder.create_network(strongly_typed)
            parser: api.OnnxParser = trt.OnnxParser(network, record.logger)  # kept: the network's weights are its own
            understood: bool = parser.parse(selection.model)
            if understood:
                break
            bodies |= _refused(parser, selection, messages, target)
        config: api.IBuilderConfig = builder.create_builder_config()
        _configure(trt, builder, config, options, target)
        measured: api.ITimingCache | None = _load_timings(config, timings) if timings else None
        profile: api.IOptimizationProfile = builder.create_optimization_profile()
        _set_batches(network, profile, options, target)
        number: int = config.add_optimization_profile(profile)
        if number < 0:
            raise EngineError(f"the batches are refused ({reason(messages)})", target, "change the plan options")
        fallen: tuple[str, ...] = _gpu_layers(trt, config, network) if options.dla is not None else ()
        monitor = _monitor(trt, phases)  # kept: the library has to find it until the build is over
        config.progress_monitor = monitor
        serialised: api.IHostMemory | None = builder.build_serialized_network(network, config)
        phases.check(target)
        if serialised is None:
            raise EngineError(f"the graph cannot be built ({reason(messages)})", target, "see the reason given")
        data = bytes(serialised)
        if timings and measured is not None:
            _keep_timings(measured, timings)
        layers = parse_layers(message.text for message in messages) or _inspect(trt, data, record.logger)
        layers = assign_products(layers, _products(trt, network))
        del parser, monitor
    phases.finish()
    return Plan(data, target, str(trt.__version__), layers, selection.plugins, selection.bodies, fallen)


def _refused(parser: api.OnnxParser, selection: Selection, messages: list[Message], target: str) -> dict[str, str]:
    """The operators whose plugins refuse a node of the graph, and why. Raises EngineError where it is refused for
    another reason."""
    faults, refused = [], {}
    for index in range(parser.num_errors):
        error: api.ParserError = parser.get_error(index)
        name: str = error.node_name()
        operator: str = error.node_operator()
        text: str = error.desc()
        faults.append(f"{operator} {name!r}: {' '.join(text.split())}" if name or operator else " ".join(text.split()))
        if name in selection.plugins:
            head = f"{plugins.NAMESPACE} {operator}: "
            said = [message.text.removeprefix(head) for message in messages if message.text.startswith(head)]
            refused[operator] = said[-1] if said else "its plugin refuses it"
    if refused:
        return refused
    raise EngineError(f"the graph is refused ({'; '.join(faults)[:500]})", target, "export it again, or report it")


def _configure(
    trt: ModuleType, builder: api.Builder, config: api.IBuilderConfig, options: PlanOptions, target: str
) -> None:
    """Set everything but the batches. Raises EngineError, naming the option, for what the library or this machine does
    not have: TensorRT itself says nothing, or fails without a word of it."""
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # or the layers would be reported without their types
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace << 20)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.compute_capabilities:
        _set_compute_capabilities(trt, config, options.compute_capabilities, target)
    if options.dla is not None:
        _set_dla(trt, builder, config, options.dla, target)
    if options.hardware_compatibility:
        _set_hardware_compatibility(trt, config, options.hardware_compatibility, target)
    _set_kinds_of_plan(trt, config, options, target)


def _set_compute_capabilities(
    trt: ModuleType, config: api.IBuilderConfig, capabilities: tuple[str, ...], target: str
) -> None:
    if hasattr(config, "num_compute_capabilities"):
        known: dict[str, api.ComputeCapability] = dict(trt.ComputeCapability.__members__)
        config.num_compute_capabilities = len(capabilities)
        for index, wanted in enumerate(capabilities):
            member = f"SM{wanted.replace('.', '')}"
            if member not in known:
                able = ", ".join(f"{key[2:-1]}.{key[-1]}" for key in known if key.startswith("SM"))
                raise EngineError(f"no plan for compute capability {wanted!r}", target, f"choose from {able}")
            accepted: bool = config.set_compute_capability(known[member], index)
            if not accepted:
                raise EngineError(f"compute capability {wanted} is refused", target, "leave it out")
    else:
        todo = "leave the option out, or use tensorrt-rtx"
        raise EngineError(f"{target} builds for the GPU of this machine alone", target, todo)


def _set_dla(trt: ModuleType, builder: api.Builder, config: api.IBuilderConfig, core: int, target: str) -> None:
    cores: int = builder.num_DLA_cores  # where there is none, the settings below are taken without a word
    if core >= cores:
        has = f"it has {cores}, counted from 0" if cores else "this machine or this version of the library has none"
        raise EngineError(f"there is no DLA core {core}: {has}", target, "leave --dla out, or change it")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _set_hardware_compatibility(trt: ModuleType, config: api.IBuilderConfig, wanted: str, target: str) -> None:
    levels: dict[str, api.HardwareCompatibilityLevel] = dict(trt.HardwareCompatibilityLevel.__members__)
    level = levels.get(wanted.upper().replace("-", "_"))
    if level is not None and target != "tensorrt-rtx":  # which knows the levels, and warns that it keeps to none
        config.hardware_compatibility_level = level
        return
    todo = "name the GPUs by --compute-capability" if target == "tensorrt-rtx" else "leave it out, or take a newer one"
    raise EngineError(f"--hardware-compatibility {wanted} is not in this library", target, todo)


def _set_kinds_of_plan(trt: ModuleType, config: api.IBuilderConfig, options: PlanOptions, target: str) -> None:
    if options.version_compatible:
        if target == "tensorrt-rtx":
            todo = "leave it out, and build again for each version"
            raise EngineError("--version-compatible: no two versions of it run the same plan", target, todo)
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    for option, wanted in (("--strip-weights", options.strip_weights), ("--refit", options.refit)):
        # The builder compiles kernels on the GPU then, and ends with an assertion of its own where there is none.
        if wanted and target == "tensorrt-rtx" and (absent := gpu.unavailable()):
            raise EngineError(f"{option} needs a GPU ({absent})", target, "leave it out, or build on the device")
    if options.refit:
        config.set_flag(trt.BuilderFlag.REFIT)
    if options.strip_weights:
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        if not options.refit:  # what comes back is what was left out, which allows the library more
            config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)


def _gpu_layers(trt: ModuleType, config: api.IBuilderConfig, network: api.INetworkDefinition) -> tuple[str, ...]:
    """Layers of a network for the DLA that the GPU has to run, as `name (kind)`. Constants run nowhere."""
    found = []
    for index in range(network.num_layers):
        layer: api.ILayer = network.get_layer(index)
        kind: api.LayerType = layer.type
        able: bool = kind == trt.LayerType.CONSTANT or config.can_run_on_DLA(layer)
        if not able:
            name: str = layer.name
            label: str = kind.name
            found.append(f"{name} ({label.lower()})")
    return tuple(found)


def _load_timings(config: api.IBuilderConfig, key: TimingKey) -> api.ITimingCache | None:
    """Give the builder what earlier builds have measured, or room for what it will measure, and return that: it has to
    outlive the build. What is damaged, or what the library does not take, counts as nothing."""
    known = lookup_timings(key)
    for content in (b"",) if known is None else (known, b""):
        timings: api.ITimingCache | None = config.create_timing_cache(content)
        attached: bool = timings is not None and config.set_timing_cache(timings, False)
        if attached:
            return timings
        log.warning("the timing cache %s is not used (the library refuses it); kernels are measured again", key.path)
    return None


def _keep_timings(timings: api.ITimingCache, key: TimingKey) -> None:
    """Write what the builder has measured into the cache folder."""
    content: api.IHostMemory = timings.serialize()
    store_timings(key, bytes(content))


def _set_batches(
    network: api.INetworkDefinition, profile: api.IOptimizationProfile, options: PlanOptions, target: str
) -> None:
    if network.num_inputs != 1:
        raise EngineError(f"the graph has {network.num_inputs} inputs", target, _CONTRACT)
    tensor: api.ITensor = network.get_input(0)
    name: str = tensor.name
    dims: api.Dims = tensor.shape
    shape = tuple(int(side) for side in dims)
    if name != INPUT or len(shape) != 4 or min(shape[1:]) < 1:
        raise EngineError(f"the graph takes {name!r} {shape}", target, _CONTRACT)
    if shape[0] > 0 and set(options.batches) != {shape[0]}:
        raise EngineError(f"the graph takes batches of {shape[0]} only", target, "export it with a free batch")
    least, best, most = ((batch, *shape[1:]) for batch in options.batches)
    profile.set_shape(INPUT, least, best, most)


def _products(trt: ModuleType, network: api.INetworkDefinition) -> list[str]:
    """Names of the graph's convolutions and matrix products, as the plan's report calls them: those inside the body of
    an operator of ours by the name that the parser notes in their metadata."""
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    names = []
    for index in range(network.num_layers):
        layer: api.ILayer = network.get_layer(index)
        kind: api.LayerType = layer.type
        if kind in kinds:
            name: str = layer.name
            metadata: str = layer.metadata
            noted = re.search(r"\[ONNX Layer: ([^\]]*)\]", metadata)
            names.append(noted.group(1) if noted else name)
    return names


def _inspect(trt: ModuleType, data: bytes, logger: api.ILogger) -> tuple[Layer, ...]:
    """Ask the plan itself, for libraries whose log does not tell. It takes the GPU that such a library has built on."""
    runtime: api.Runtime = trt.Runtime(logger)
    engine: api.ICudaEngine | None = runtime.deserialize_cuda_engine(data)
    if engine is None:
        return ()
    inspector: api.EngineInspector = engine.create_engine_inspector()
    text: str = inspector.get_engine_information(trt.LayerInformationFormat.ONELINE)
    return parse_layers([text])


def _monitor(trt: ModuleType, phases: Phases) -> api.IProgressMonitor:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return phases.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            phases.end(phase_name)

    return Monitor()
