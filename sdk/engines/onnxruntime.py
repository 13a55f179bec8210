"""ONNX Runtime on a CPU: the reference that other engines are held against, not one to deploy."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.engines.base import Engine
from edgead.errors import EngineError, EngineUnavailable


class OnnxRuntimeEngine(Engine):
    """An ONNX file run as it stands."""

    name = "onnxruntime"

    def __init__(self, model: bytes, *, max_batch: int) -> None:
        super().__init__(max_batch=max_batch)
        self.digest = hashlib.sha256(model).hexdigest()
        self._model = model
        self._session: Any = None

    def _activate(self) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailable("onnxruntime does not import", "onnxruntime", "install edgead[train]") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # As it stands: ONNX Runtime 1.32 makes something else of Q/DQ around float16 (docs/decisions/0026).
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = onnxruntime.InferenceSession(self._model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:300]
            raise EngineError(f"ONNX Runtime cannot load the graph ({reason})", "onnxruntime") from error
        self.size = tuple(self._session.get_inputs()[0].shape[1:3])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def _deactivate(self) -> None:
        self._session = None

    def _infer(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(self._outputs, self._session.run(None, {"image": image}), strict=True))
