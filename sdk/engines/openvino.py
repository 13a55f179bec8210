"""OpenVINO on a CPU: the engine where there is no GPU."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgead.engines.base import Engine
from edgead.engines.int8 import keep_exact
from edgead.errors import EngineError, EngineUnavailable

if TYPE_CHECKING:
    import openvino

# f32: on a processor with AMX or bf16 the default would round the network to bf16, and verdicts would depend on the
# machine.
_CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}

_SETS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
)
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def unavailable() -> str | None:
    """Why this engine cannot run here, or None."""
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        return f"openvino does not import ({error}); install it with `pip install openvino`"
    return None


def _runtime() -> Any:
    reason = unavailable()
    if reason:
        raise EngineUnavailable(reason, "openvino")
    import openvino

    return openvino


def runtime_version() -> str:
    return str(_runtime().__version__)


def device_name() -> str:
    """The processor's name, for the engine key."""
    return str(_runtime().Core().get_property("CPU", "FULL_DEVICE_NAME"))


def instruction_sets() -> str:
    """What OpenVINO may compile for here, for the engine key: a virtual machine may hide some of what its processor's
    name promises, and oneDNN's variables more. Empty where the system does not tell."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set()
    limits = [f"up to {limit}" for name in _LIMITS if (limit := os.environ.get(name))]
    return " ".join([*(name for name in _SETS if name in flags), *limits])


def compile_graph(model: bytes) -> bytes:
    """Compile an ONNX file for this processor; returns the serialised engine.

    Raises EngineError where OpenVINO refuses the graph.
    """
    core = _runtime().Core()
    try:
        network = core.read_model(io.BytesIO(_inlined(model)))
        keep_exact(network, _runtime(), _CONFIG)
        compiled = core.compile_model(network, "CPU", _CONFIG)
        engine: bytes = compiled.export_model().getvalue()
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot compile the graph ({_first_line(error)})", "openvino") from error
    return engine


def _inlined(model: bytes) -> bytes:
    """The graph with the bodies of its own operators in place of their nodes: OpenVINO reads no local functions."""
    try:
        import onnx
        import onnx.inliner
        from google.protobuf.message import DecodeError
    except ImportError:
        return model  # a graph of standard operators needs none of it, and OpenVINO names the operator that it misses
    try:
        parsed = onnx.load_from_string(model)
    except DecodeError as error:
        raise EngineError(f"OpenVINO cannot compile the graph, which is no ONNX ({error})", "openvino") from error
    if not parsed.functions:
        return model
    return bytes(onnx.inliner.inline_local_functions(parsed).SerializeToString())


@dataclass(frozen=True)
class LayerPrecision:
    """A layer of a compiled engine. kind: OpenVINO's name of it, `Convolution`. precision: `u8`, `i8`, `f32`."""

    name: str
    kind: str
    precision: str


def layer_precisions(engine: bytes) -> tuple[LayerPrecision, ...]:
    """What a serialised engine runs, layer by layer."""
    compiled = _runtime().Core().import_model(engine, "CPU", _CONFIG)
    layers = []
    for operation in compiled.get_runtime_model().get_ordered_ops():
        facts = operation.get_rt_info()
        kind, precision = (_text(facts[name]) for name in ("layerType", "runtimePrecision"))
        layers.append(LayerPrecision(operation.get_friendly_name(), kind, precision))
    return tuple(layers)


def _text(fact: Any) -> str:
    return str(fact.astype(str) if hasattr(fact, "astype") else fact)


class OpenVinoEngine(Engine):
    """A serialised OpenVINO engine, loaded when entered."""

    name = "openvino"

    def __init__(self, engine: bytes, *, max_batch: int) -> None:
        super().__init__(max_batch=max_batch)
        self.digest = hashlib.sha256(engine).hexdigest()
        self._serialised = engine
        self._request: openvino.InferRequest | None = None

    def _activate(self) -> None:
        core = _runtime().Core()
        try:
            compiled = core.import_model(self._serialised, "CPU", _CONFIG)
        except RuntimeError as error:
            todo = "delete the engine cache and build again"
            raise EngineError(f"OpenVINO cannot load the engine ({_first_line(error)})", "openvino", todo) from error
        _, height, width, _ = compiled.input(0).get_partial_shape()
        self.size = (height.get_length(), width.get_length())
        self._request = compiled.create_infer_request()
        self._outputs = [output.get_any_name() for output in compiled.outputs]

    def _deactivate(self) -> None:
        self._request = None

    def _infer(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        assert self._request is not None  # the base class has checked
        answers = self._request.infer({0: image}, share_inputs=True, share_outputs=False)
        return {name: answers[name] for name in self._outputs}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
