"""From an ONNX graph to a TensorRT plan: `tensorrt` on the device itself, `tensorrt-rtx` on any machine.

Networks are strongly typed: the graph says what is fp32, fp16 or (as Q/DQ) int8, and the builder keeps to it. That is
all that TensorRT 11 and TensorRT for RTX know, and TensorRT 10.3 knows it too, so there is one path. See
`edgead.engines.tensorrt` on how names of the bindings are used.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from edgead.engines import plugins, tensorrt
from edgead.engines.tensorrt import INPUT, Message, bindings, journal, load_plugins, reason
from edgead.errors import EngineError, EngineUnavailable
from edgead.export.layers import ConvolutionReport, Layer, assign_products, convolution_report, parse_layers
from edgead.export.phases import Phases
from edgead.export.plugins import Selection, select
from edgead.progress import Progress, silent

if TYPE_CHECKING:
    import tensorrt as api  # type: ignore[import-not-found,import-untyped,unused-ignore]

__all__ = ["ConvolutionReport", "Layer", "Plan", "PlanOptions", "build_plan", "convolution_report", "unavailable"]

_CONTRACT = "it has to take one `image`, [N, H, W, 3]"
_ONE_BUILD = threading.Lock()  # the library has one log per process; two builds would read each other's layers


@dataclass(frozen=True)
class PlanOptions:
    """How to build.

    min_batch, opt_batch, max_batch: images that the plan takes, and the number it is tuned for. workspace_bytes:
    scratch memory at most; None leaves it to the library. optimization_level: 0 (fast build) to 5 (fast plan); None
    is the library's own. compute_capabilities: GPUs to build for, such as `8.6` (tensorrt-rtx only); none leaves it
    to the library. tf32: let float32 products round their operands to 10 bits; faster, and no longer what the graph
    says. plugins: run our operators as plugins, where their library was built.
    """

    min_batch: int = 1
    opt_batch: int = 1
    max_batch: int = 1
    workspace_bytes: int | None = None
    optimization_level: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    tf32: bool = False
    plugins: bool = True

    def __post_init__(self) -> None:
        faults = {
            f"batches of {self.min_batch}, {self.opt_batch} and {self.max_batch} are not in order from 1": not (
                1 <= self.min_batch <= self.opt_batch <= self.max_batch
            ),
            f"a workspace of {self.workspace_bytes} bytes": self.workspace_bytes is not None
            and self.workspace_bytes < 1,
            f"optimisation level {self.optimization_level} is not 0 to 5": self.optimization_level is not None
            and not 0 <= self.optimization_level <= 5,
        }
        for fault, present in faults.items():
            if present:
                raise EngineError(fault, "plan options", "change the option")


@dataclass(frozen=True)
class Plan:
    """A serialised engine. runtime: the target. version: of the library that built it, and that has to run it. plugins:
    nodes that run as plugins; bodies: `name: why not`, for the other nodes of our operators."""

    data: bytes
    runtime: str
    version: str
    layers: tuple[Layer, ...]
    plugins: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()


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
    options: PlanOptions = PlanOptions(),
    *,
    progress: Progress = silent,
    cancelled: Callable[[], bool] | None = None,
) -> Plan:
    """Build a plan from a detector graph: ONNX with the input `image`, uint8 [N, H, W, 3].

    target: `tensorrt` or `tensorrt-rtx`. progress: percent, never falling. cancelled: asked at each step of the
    builder; True ends the build with EngineError. Ctrl-C ends it as well, with KeyboardInterrupt. Nothing is written
    anywhere. Raises EngineUnavailable without the library, EngineError for a graph that it refuses, naming the node.
    """
    trt = bindings(target)
    phases = Phases(progress, cancelled or (lambda: False))
    # In a thread of its own: Python hears Ctrl-C in the main thread only, which would be inside the library.
    with _ONE_BUILD, ThreadPoolExecutor(1, "edgead-build") as thread:
        try:
            return thread.submit(_build, trt, model, target, options, phases).result()
        except BaseException:
            phases.stop()
            raise


def _build(trt: ModuleType, model: bytes, target: str, options: PlanOptions, phases: Phases) -> Plan:
    record = journal(target)
    with record.listen() as messages:
        try:
            builder: api.Builder = trt.Builder(record.logger)
        except TypeError as error:  # the bindings' answer where the library gives no builder
            todo = "build on the device itself, or for tensorrt-rtx"
            raise EngineError(f"the builder does not start ({reason(messages)})", target, todo) from error
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
        _configure(trt, config, options, target)
        profile: api.IOptimizationProfile = builder.create_optimization_profile()
        _set_batches(network, profile, options, target)
        number: int = config.add_optimization_profile(profile)
        if number < 0:
            raise EngineError(f"the batches are refused ({reason(messages)})", target, "change the plan options")
        monitor = _monitor(trt, phases)  # kept: the library has to find it until the build is over
        config.progress_monitor = monitor
        serialised: api.IHostMemory | None = builder.build_serialized_network(network, config)
        phases.check(target)
        if serialised is None:
            raise EngineError(f"the graph cannot be built ({reason(messages)})", target, "see the reason given")
        data = bytes(serialised)
        layers = parse_layers(message.text for message in messages) or _inspect(trt, data, record.logger)
        layers = assign_products(layers, _products(trt, network))
        del parser, monitor
    phases.finish()
    return Plan(data, target, str(trt.__version__), layers, selection.plugins, selection.bodies)


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


def _configure(trt: ModuleType, config: api.IBuilderConfig, options: PlanOptions, target: str) -> None:
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # or the layers would be reported without their types
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if not options.compute_capabilities:
        return
    if hasattr(config, "num_compute_capabilities"):
        known: dict[str, api.ComputeCapability] = dict(trt.ComputeCapability.__members__)
        config.num_compute_capabilities = len(options.compute_capabilities)
        for index, wanted in enumerate(options.compute_capabilities):
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
    batches = (options.min_batch, options.opt_batch, options.max_batch)
    if shape[0] > 0 and set(batches) != {shape[0]}:
        raise EngineError(f"the graph takes batches of {shape[0]} only", target, "export it with a free batch")
    least, best, most = ((batch, *shape[1:]) for batch in batches)
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
