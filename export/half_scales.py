"""Scales of Q/DQ that float16 can say, so that a layer in INT8 can stand among layers in half precision."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

OPSET = 19
"""Of ONNX, since which Q/DQ take float16."""
_LEAST = float(np.finfo(np.float16).smallest_subnormal)


def halve_scales(model: onnx.ModelProto) -> set[str]:
    """Round every scale to a value that float16 has, and the weights again to what they were: names of the nodes that
    round and that dequantise.

    A weight w = q s, as int8 q and a scale s of its channel, becomes round(q s / s') s': rounded again, it is as close
    as before, where s' alone would move the whole channel. `model` is changed in place.
    """
    nodes = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    if not nodes:
        return set()
    for opset in (*model.opset_import, *(entry for function in model.functions for entry in function.opset_import)):
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, OPSET)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    before = {node.input[1]: numpy_helper.to_array(constants[node.input[1]]) for node in nodes}
    after = {name: _representable(scale) for name, scale in before.items()}
    for node in nodes:
        weight = constants.get(node.input[0])
        if node.op_type == "DequantizeLinear" and weight is not None:
            scale = node.input[1]
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            weight.CopyFrom(_rescaled(weight, before[scale], after[scale], axis))
    for name, scale in after.items():
        constants[name].CopyFrom(numpy_helper.from_array(scale, name))
    return {node.name for node in nodes}


def _representable(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(scale.astype(np.float16).astype(np.float32), np.float32(_LEAST))


def _rescaled(weight: TensorProto, before: NDArray[np.float32], after: NDArray[np.float32], axis: int) -> TensorProto:
    codes = numpy_helper.to_array(weight)
    ratio = before / after
    if ratio.ndim:
        ratio = ratio.reshape([-1 if place == axis % codes.ndim else 1 for place in range(codes.ndim)])
    return numpy_helper.from_array(np.clip(np.rint(codes * ratio), -127, 127).astype(np.int8), weight.name)
