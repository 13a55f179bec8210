"""TensorRT and TensorRT for RTX on an NVIDIA GPU: one interface (TensorRT 10.3 and newer), two libraries.

Names of the bindings are used so that a test can find each of them in this file: every object of the bindings has a
name annotated with its class, `trt` is the module, and what some versions lack stands behind `hasattr`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgead import gpu
from edgead.engines import plugins
from edgead.engines.base import Engine
from edgead.engines.cache import EngineKey
from edgead.engines.choice import chosen
from edgead.engines.timings import TimingKey
from edgead.errors import EngineError, EngineUnavailable
from edgead.kernels import library

if TYPE_CHECKING:
    import tensorrt as api  # type: ignore[import-not-found,import-untyped,unused-ignore]

log = logging.getLogger(__name__)

INPUT = "image"
OLDEST = (10, 3)
_MODULES = {"tensorrt": ("tensorrt",), "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}
_REBUILD = "run `edgead build-engine` on this device"


@functools.cache
def bindings(target: str) -> ModuleType:
    """The bindings of `tensorrt` or `tensorrt-rtx`. Raises EngineUnavailable, saying what to install."""
    if target not in _MODULES:
        raise EngineUnavailable(f"no TensorRT target {target!r}", "engines", f"choose one of {', '.join(_MODULES)}")
    reasons = []
    for name in _MODULES[target]:
        try:
            trt = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: a shared library of the package does not load
            reasons.append(str(error))
            continue
        version: str = str(trt.__version__)
        if target == "tensorrt" and tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
            oldest = ".".join(str(part) for part in OLDEST)
            raise EngineUnavailable(f"TensorRT {version} is too old", target, f"install TensorRT {oldest} or newer")
        return trt
    raise EngineUnavailable(f"{target} does not import ({'; '.join(reasons)})", target, f"install edgead[{target}]")


def unavailable(target: str) -> str | None:
    """Why an engine of this target cannot run here, or None."""
    try:
        bindings(target)
    except EngineUnavailable as error:
        return ", ".join(part for part in (error.what, error.todo) if part)
    return gpu.unavailable()


def runtime_version(target: str) -> str:
    return str(bindings(target).__version__)


def engine_key(
    graph: bytes, precision: str, batches: tuple[int, int], target: str, options: Mapping[str, str] | None = None
) -> EngineKey:
    """The cache key of an engine on this machine's GPU; `graph` is the ONNX file.

    options: `PlanOptions.changes` of the plan; None: those chosen for this machine (`edgead.engines.choice`).
    """
    device = gpu.describe()
    usual = EngineKey(
        hashlib.sha256(graph).hexdigest(),
        precision,
        *batches,
        target,
        runtime_version(target),
        device.name,
        device.compute_capability,
        device.driver,
        plugins.engine_options(target, runtime_version(target), graph),
    )
    changes = chosen(usual) if options is None else options
    least = int(changes.get("min_batch", usual.min_batch))
    return replace(usual, min_batch=least, options={**usual.options, **changes})


def timing_key(target: str) -> TimingKey:
    """The cache key of what the builder of this library measures on this machine's GPU."""
    device = gpu.describe()
    return TimingKey(target, runtime_version(target), device.name, device.compute_capability, device.driver)


def load_plugins(target: str) -> str | None:
    """Register the plugins of our operators with a library, once for each process: plans that hold them load only then.

    Returns why they are not, or None. Raises EngineError where the library refuses them.
    """
    fault = plugins.unavailable(target, runtime_version(target))
    path = library.find(plugins.PLUGINS)
    if fault is None and path is not None:
        _register(bindings(target), target, path)
    return fault


@functools.cache
def _register(trt: ModuleType, target: str, path: Path) -> None:
    if target == "tensorrt-rtx":
        ctypes.CDLL(str(library.find(plugins.RTX_NAME)))
    registry: api.IPluginRegistry = trt.get_plugin_registry()
    handle: object = registry.load_library(str(path))
    if handle is None:
        raise EngineError(f"{target} refuses the plugins", path, "reinstall edgead on this machine, or remove the file")


@dataclass(frozen=True)
class Message:
    """One message of the library. severity: INTERNAL_ERROR, ERROR, WARNING, INFO or VERBOSE."""

    severity: str
    text: str


class Journal:
    """What the library says. A process has one for each library, which keeps to the first logger that it is given."""

    def __init__(self, trt: ModuleType) -> None:
        listeners: list[list[Message]] = []

        class Logger(trt.ILogger):  # type: ignore[misc,name-defined]
            def log(self, severity: api.ILogger.Severity, message: str) -> None:
                text: Message = Message(str(severity.name), str(message))
                log.debug("%s: %s", text.severity, text.text)
                for messages in tuple(listeners):
                    messages.append(text)

        self._listeners = listeners
        self.logger: api.ILogger = Logger()

    @contextmanager
    def listen(self) -> Iterator[list[Message]]:
        """A list that grows by everything said until the end of the block, by any thread."""
        messages: list[Message] = []
        self._listeners.append(messages)
        try:
            yield messages
        finally:
            self._listeners[:] = [other for other in self._listeners if other is not messages]


@functools.cache
def journal(target: str) -> Journal:
    """The one journal of a library."""
    return Journal(bindings(target))


def reason(messages: list[Message]) -> str:
    """The errors among the messages as one line, for the text of an error."""
    errors = [message.text for message in messages if message.severity in ("INTERNAL_ERROR", "ERROR")]
    return "; ".join(" ".join(text.split()) for text in errors)[:500] or "the library gives no reason"


class TensorRtEngine(Engine):
    """A serialised plan of `tensorrt` or `tensorrt-rtx`, loaded when entered. It is a `Stage`.

    graph: the ONNX file that it was built from; a plan that can be refitted takes its weights from there. options:
    those of the plan's `EngineKey`.
    """

    capturable = True

    def __init__(
        self,
        plan: bytes,
        target: str,
        *,
        max_batch: int,
        graph: bytes | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(max_batch=max_batch)
        self.name, self.digest = target, hashlib.sha256(plan).hexdigest()
        self._plan, self._graph, self._options = plan, graph, options or {}
        self._session: _Session | None = None

    def _activate(self) -> None:
        self._session = _Session(self._plan, self.name, self.max_batch, self._graph, self._options)
        self.size = self._session.size

    def _deactivate(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _infer(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        assert self._session is not None  # the base class has checked
        return self._session.run(image)

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of every output for one image; empty while the engine is not running."""
        return self._session.outputs if self._session is not None else {}

    def enqueue(self, addresses: Mapping[str, int], batch: int, stream: int) -> None:
        """As `Stage.enqueue`."""
        if self._session is None:
            raise EngineError("the engine is not running", self.name, "use it inside a `with` block")
        self._session.enqueue(addresses, batch, stream)


class _Session:
    """A plan on the device, and everything that has to be given back: made whole or not at all."""

    def __init__(
        self, plan: bytes, target: str, max_batch: int, graph: bytes | None, options: Mapping[str, str]
    ) -> None:
        self._target = target
        self._stream: gpu.Stream | None = None
        self._buffers: dict[str, gpu.Buffer] = {}
        with gpu.current():
            try:
                self._stream = gpu.Stream()
                self._load(plan, bindings(target), graph, options)
                self._allocate(bindings(target), max_batch)
            except BaseException:
                self._free()
                raise

    def _load(self, plan: bytes, trt: ModuleType, graph: bytes | None, options: Mapping[str, str]) -> None:
        record = journal(self._target)
        load_plugins(self._target)
        with record.listen() as messages:
            runtime: api.Runtime = trt.Runtime(record.logger)
            if "dla" in options:
                runtime.DLA_core = int(options["dla"])
            if "version_compatible" in options:
                runtime.engine_host_code_allowed = True  # such a plan brings the code along that runs it elsewhere
            engine: api.ICudaEngine | None = runtime.deserialize_cuda_engine(plan)
            # A plan of another GPU of the same generation loads with this warning, and may compute wrong values.
            foreign = any("different models of devices" in message.text for message in messages)
            if engine is None or foreign:
                why = "it was built on another GPU" if foreign else reason(messages)
                raise EngineError(f"the plan does not load ({why})", self._target, _REBUILD)
            refittable: bool = engine.refittable
            if refittable:
                self._refit(engine, trt, graph, messages)
            context: api.IExecutionContext | None = engine.create_execution_context()
            if context is None:
                raise EngineError(f"the plan cannot be run ({reason(messages)})", self._target, "free some GPU memory")
        self._runtime: api.Runtime | None = runtime  # the engine needs it for as long as it lives
        self._engine: api.ICudaEngine | None = engine
        self._context: api.IExecutionContext | None = context

    def _refit(self, engine: api.ICudaEngine, trt: ModuleType, graph: bytes | None, messages: list[Message]) -> None:
        """Give a plan the weights of its graph: it may have been built without them, which it does not tell."""
        if graph is None:
            raise EngineError("the plan takes its weights from its graph", self._target, "give the graph as well")
        record = journal(self._target)
        refitter: api.Refitter = trt.Refitter(engine, record.logger)
        parser: api.OnnxParserRefitter = trt.OnnxParserRefitter(refitter, record.logger)
        understood: bool = parser.refit_from_bytes(graph)
        if understood:
            understood = refitter.refit_cuda_engine()
        if not understood:
            raise EngineError(f"the plan does not take its weights ({reason(messages)})", self._target, _REBUILD)

    def _allocate(self, trt: ModuleType, max_batch: int) -> None:
        """Check that the plan is of a detector graph and takes `max_batch` images; make room for inputs and outputs."""
        engine: api.ICudaEngine = self._engine
        context: api.IExecutionContext = self._context
        names: list[str] = []
        for index in range(engine.num_io_tensors):
            name: str = engine.get_tensor_name(index)
            mode: api.TensorIOMode = engine.get_tensor_mode(name)
            kind: api.DataType = engine.get_tensor_dtype(name)
            wanted: api.DataType = trt.DataType.UINT8 if name == INPUT else trt.DataType.FLOAT
            if (mode == trt.TensorIOMode.INPUT) != (name == INPUT) or kind != wanted:
                raise EngineError(f"{name!r} of the plan is {kind}", self._target, "build it from a detector graph")
            if name != INPUT:
                names.append(name)
        shapes: list[api.Dims] = engine.get_tensor_profile_shape(INPUT, 0)
        smallest, largest = (tuple(int(side) for side in shapes[index]) for index in (0, 2))
        if len(largest) != 4 or largest[0] < max_batch:
            what = f"the plan takes {largest} at most, and batches of {max_batch} images are asked for"
            raise EngineError(what, self._target, _REBUILD)
        if smallest[0] > max_batch:
            what = f"the plan takes {smallest[0]} images at least, and batches of {max_batch} are asked for"
            raise EngineError(what, self._target, _REBUILD)
        self._least = smallest[0]
        self.size = (largest[1], largest[2])
        shape = (max_batch, *self.size, 3)
        accepted: bool = context.set_input_shape(INPUT, shape)
        if not accepted:
            raise EngineError(f"the plan does not take {shape}", self._target, _REBUILD)
        self._buffers[INPUT] = gpu.Buffer(shape, np.uint8)
        for name in names:
            self._buffers[name] = gpu.Buffer(self._shape(name), np.float32)
        self.outputs = {name: self._shape(name)[1:] for name in names}

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape of an output for the input shape set last."""
        context: api.IExecutionContext = self._context
        dims: api.Dims = context.get_tensor_shape(name)
        shape = tuple(int(side) for side in dims)
        if min(shape, default=1) < 0:
            raise EngineError(f"the shape of {name!r} depends on the data", self._target, "build a detector graph")
        return shape

    def enqueue(self, addresses: Mapping[str, int], batch: int, stream: int) -> None:
        context: api.IExecutionContext = self._context
        if batch < self._least:
            what = f"a batch of {batch}, and the engine was built for {self._least} images at least"
            raise EngineError(what, self._target, "run `edgead build-engine` again with --min-batch 1")
        with gpu.current(), journal(self._target).listen() as messages:
            done: bool = context.set_input_shape(INPUT, (batch, *self.size, 3))
            for name, address in addresses.items():
                bound: bool = context.set_tensor_address(name, address)
                done = done and bound
            if done:
                done = context.execute_async_v3(stream)
            if not done:
                raise EngineError(
                    f"a batch of {batch} fails ({reason(messages)})", self._target, "see the reason given"
                )

    def run(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        with gpu.current():
            assert self._stream is not None
            source = self._buffers[INPUT]
            source.host[: image.size] = image.reshape(-1)
            self._stream.upload(source, image.size)
            addresses = {name: buffer.address for name, buffer in self._buffers.items()}
            # A batch that is too small is filled up with what lies there; images do not see each other.
            self.enqueue(addresses, max(len(image), self._least), self._stream.handle)
            shapes = {name: (len(image), *shape) for name, shape in self.outputs.items()}
            for name, shape in shapes.items():
                self._stream.download(self._buffers[name], math.prod(shape))
            self._stream.synchronize()
            return {
                name: self._buffers[name].host[: math.prod(shape)].reshape(shape).copy()
                for name, shape in shapes.items()
            }

    def close(self) -> None:
        with gpu.current():
            self._free()

    def _free(self) -> None:
        self._context = None
        self._engine = None
        self._runtime = None
        while self._buffers:
            self._buffers.popitem()[1].free()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
