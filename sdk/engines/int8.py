"""INT8 on processors that cannot add its products: the same rounding, computed in float."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import openvino

_WEIGHTED = (
    "Convolution",
    "GroupConvolution",
    "ConvolutionBackpropData",
    "GroupConvolutionBackpropData",
    "MatMul",
)


def keep_exact(network: openvino.Model, openvino: Any, config: dict[str, str]) -> None:
    """Put float32 in place of int8 weights where this processor would cut off sums of their products: the answers stay
    those of INT8, activations rounded as before, in the time of fp32. openvino: the module.

    Products of two quantised activations stay as they are; `edgead.calibration` makes none.
    """
    ports = [
        operation.input(port)
        for operation in network.get_ordered_ops()
        if operation.get_type_name() in _WEIGHTED
        for port in (0, 1)
    ]
    ports = [port for port in ports if _is_int8_constant(port.get_source_output().get_node())]
    if not ports or _adds_exactly(tuple(config.items())):
        return
    weights = openvino.Model([port.get_source_output() for port in ports], [])
    values = openvino.Core().compile_model(weights, "CPU", config)([])
    for index, port in enumerate(ports):
        port.replace_source_output(openvino.opset13.constant(np.array(values[index])).output(0))


@functools.cache
def _adds_exactly(config: tuple[tuple[str, str], ...]) -> bool:
    """Whether this processor adds the products of INT8 without loss: x86 ones without VNNI cut off what is more than 16
    bits hold (docs/decisions/0037). Found by the largest products that there are."""
    import openvino

    ops = openvino.opset13
    size, step = 64, np.float32(1 / 127)
    low, high = np.float32(-128 / 127), np.float32(1)
    values = ops.parameter([1, size], np.float32)
    rounded = ops.fake_quantize(values, low, high, low, high, 256)
    codes = ops.convert(ops.constant(np.full((size, size), 127, np.int8)), np.float32)
    product = ops.matmul(rounded, ops.multiply(codes, ops.constant(step)), False, False)
    compiled = openvino.Core().compile_model(openvino.Model([product], [values]), "CPU", dict(config))
    return bool(np.allclose(compiled({0: np.ones((1, size), np.float32)})[0], size, rtol=0.01))


def _is_int8_constant(node: openvino.Node) -> bool:
    """Whether a node is computed of constants alone, int8 ones among them."""
    waiting, types = [node], set()
    while waiting:
        each = waiting.pop()
        sources = [value.get_node() for value in each.input_values()]
        if not sources:
            if each.get_type_name() != "Constant":
                return False
            types.add(each.get_element_type().get_type_name())
        waiting += sources
    return "i8" in types
