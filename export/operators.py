"""The operators of the ONNX domain `edgead`: a node for each use, and a body of standard operators in the model.

A runtime that knows the operator runs its own kernel; every other one puts the body in the place of the node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import onnx.parser
import torch
from onnx.defs import OpSchema
from onnxscript.values import Op, Opset

from edgead.errors import ExportError

DOMAIN, VERSION = "edgead", 1

# The queries are scaled, not the scores: float16 holds those then, and a runtime folds the scale into the projection
# before. The softmax is in float32 whatever the inputs are. Mask and scale depend on no value, so that a runtime can
# fold them; for that C is the length of a maximum over batch and tokens, which nothing computes: a shape with a free
# batch would not be folded. -1e30 stands for -infinity, which kernels that go block by block may turn into NaN.
_NEIGHBOR_MASKED_ATTENTION = """
<domain: "edgead", opset_import: ["" : 18]>
NeighborMaskedAttention <num_heads, height, width, neighbor_height, neighbor_width> (q, k, v) => (y)
{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    two = Constant <value_int = 2> ()
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    rows = Constant <value_int: int = @height> ()
    columns = Constant <value_int: int = @width> ()
    window_rows = Constant <value_int: int = @neighbor_height> ()
    window_columns = Constant <value_int: int = @neighbor_width> ()
    tokens = Mul (rows, columns)
    token = Range (zero, tokens, one)
    row = Div (token, columns)
    row_begin = Mul (row, columns)
    column = Sub (token, row_begin)
    row_of_query = Unsqueeze (row, second)
    row_of_key = Unsqueeze (row, first)
    column_of_query = Unsqueeze (column, second)
    column_of_key = Unsqueeze (column, first)
    dy = Sub (row_of_query, row_of_key)
    dx = Sub (column_of_query, column_of_key)
    distance_y = Abs (dy)
    distance_x = Abs (dx)
    span_y = Mul (two, distance_y)
    span_x = Mul (two, distance_x)
    near_y = Less (span_y, window_rows)
    near_x = Less (span_x, window_columns)
    near = And (near_y, near_x)
    hidden = Constant <value_float = -1e30> ()
    seen = Constant <value_float = 0.0> ()
    mask = Where (near, hidden, seen)

    heads = Constant <value_int: int = @num_heads> ()
    heads_axis = Unsqueeze (heads, first)
    kept_axes = Constant <value_ints = [0, 0]> ()
    other_axis = Constant <value_ints = [-1]> ()
    by_head = Concat <axis = 0> (kept_axes, heads_axis, other_axis)
    together = Constant <value_ints = [0, 0, -1]> ()
    free_axes = Constant <value_ints = [0, 1]> ()
    vector = ReduceMax <keepdims = 0> (q, free_axes)
    channels = Shape (vector)
    channels_of_head = Div (channels, heads_axis)
    channels_float = Cast <to = 1> (channels_of_head)
    root = Sqrt (channels_float)
    scale_float = Reciprocal (root)
    scale = CastLike (scale_float, q)
    q_scaled = Mul (q, scale)
    q_by_head = Reshape (q_scaled, by_head)
    k_by_head = Reshape (k, by_head)
    v_by_head = Reshape (v, by_head)
    q_heads = Transpose <perm = [0, 2, 1, 3]> (q_by_head)
    k_heads = Transpose <perm = [0, 2, 3, 1]> (k_by_head)
    v_heads = Transpose <perm = [0, 2, 1, 3]> (v_by_head)
    scores = MatMul (q_heads, k_heads)
    scores_float = Cast <to = 1> (scores)
    scores_masked = Add (scores_float, mask)
    weights_float = Softmax <axis = -1> (scores_masked)
    weights = CastLike (weights_float, q)
    mixed = MatMul (weights, v_heads)
    mixed_by_token = Transpose <perm = [0, 2, 1, 3]> (mixed)
    y = Reshape (mixed_by_token, together)
}
"""

_BODIES = {"NeighborMaskedAttention": _NEIGHBOR_MASKED_ATTENTION}


def _operator(name: str, inputs: tuple[str, ...], attributes: tuple[str, ...]) -> Op:
    schema = OpSchema(
        name,
        DOMAIN,
        VERSION,
        inputs=[OpSchema.FormalParameter(each, "T") for each in inputs],
        outputs=[OpSchema.FormalParameter("y", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "")],
        attributes=[OpSchema.Attribute(each, OpSchema.AttrType.INT, "") for each in attributes],
    )
    return Op(Opset(DOMAIN, VERSION), name, schema)


_ATTENTION = _operator(
    "NeighborMaskedAttention",
    ("q", "k", "v"),
    ("num_heads", "height", "width", "neighbor_height", "neighbor_width"),
)


def _attention(
    q: Any, k: Any, v: Any, num_heads: int, height: int, width: int, neighbor_height: int, neighbor_width: int
) -> Any:
    return _ATTENTION(
        q,
        k,
        v,
        num_heads=num_heads,
        height=height,
        width=width,
        neighbor_height=neighbor_height,
        neighbor_width=neighbor_width,
    )


_TRANSLATIONS: dict[str, Callable[..., Any]] = {"neighbor_masked_attention": _attention}


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What torch's exporter makes of the torch operators `edgead::*`, as far as something has registered them."""
    registered = ((getattr(torch.ops.edgead, name, None), way) for name, way in _TRANSLATIONS.items())
    return {packet.default: way for packet, way in registered if packet is not None}


def attach_bodies(model: onnx.ModelProto) -> None:
    """Give the model a function for each operator of the domain that it uses. Raises ExportError for an unknown one."""
    used = sorted({node.op_type for node in model.graph.node if node.domain == DOMAIN})
    known = {function.name for function in model.functions if function.domain == DOMAIN}
    for name in used:
        if name not in _BODIES:
            raise ExportError(f"no body for the operator {name!r}", "export", "add it to export/operators.py")
        if name not in known:
            model.functions.append(onnx.parser.parse_function(_BODIES[name]))
