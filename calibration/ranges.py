"""The ranges that a calibration came to, read from the graph that it made."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from edgead.calibration.mse import CODES


def activation_ranges(quantised: bytes) -> dict[str, list[float]]:
    """By tensor, [lowest, highest] of the values that INT8 can tell apart: of every activation that a layer reads in
    INT8, as its `QuantizeLinear` rounds it. What lies beyond is clipped."""
    model = onnx.load_from_string(quantised)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            reach = CODES * float(numpy_helper.to_array(constants[node.input[1]]))
            found[node.input[0]] = [-reach, reach]
    return found
