"""What a graph computes on its way: a session that answers tensors inside of it."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnxruntime
from onnx import TensorProto, helper


def answering(model: onnx.ModelProto, tensors: Iterable[str]) -> onnxruntime.InferenceSession:
    """A session on the CPU whose outputs are these tensors of the graph, of float32 or of float16, in place of its own.
    `model` is changed likewise."""
    halves = _halves(model)
    del model.graph.output[:]
    for name in tensors:
        kind = TensorProto.FLOAT16 if name in halves else TensorProto.FLOAT
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # as in `edgead.engines.onnxruntime`
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _halves(model: onnx.ModelProto) -> set[str]:
    """The tensors of float16."""
    if all(tensor.data_type != TensorProto.FLOAT16 for tensor in model.graph.initializer):
        return set()
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {value.name for value in inferred.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
