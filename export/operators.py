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

from edgead.engines.plugins import NAMESPACE
from edgead.errors import ExportError
from edgead.export.bodies import ciede2000, neighbor_masked_attention
from edgead.export.plugins import ATTRIBUTE

DOMAIN, VERSION = "edgead", 1
_PLUGIN = {ATTRIBUTE: NAMESPACE}  # a parser of TensorRT that finds the plugin registered takes it, and else the body

_BODIES = {"NeighborMaskedAttention": neighbor_masked_attention.BODY, "CIEDE2000": ciede2000.BODY}


def _operator(name: str, inputs: tuple[str, ...], attributes: tuple[str, ...], kinds: tuple[str, ...]) -> Op:
    schema = OpSchema(
        name,
        DOMAIN,
        VERSION,
        inputs=[OpSchema.FormalParameter(each, "T") for each in inputs],
        outputs=[OpSchema.FormalParameter("y", "T")],
        type_constraints=[("T", [f"tensor({kind})" for kind in kinds], "")],
        attributes=[
            *(OpSchema.Attribute(each, OpSchema.AttrType.INT, "") for each in attributes),
            OpSchema.Attribute(ATTRIBUTE, OpSchema.AttrType.STRING, ""),
        ],
    )
    return Op(Opset(DOMAIN, VERSION), name, schema)


_ATTENTION = _operator(
    "NeighborMaskedAttention",
    ("q", "k", "v"),
    ("num_heads", "height", "width", "neighbor_height", "neighbor_width"),
    ("float", "float16"),
)
_DIFFERENCE = _operator("CIEDE2000", ("lab1", "lab2"), (), ("float",))


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
        **_PLUGIN,
    )


def _difference(lab1: Any, lab2: Any) -> Any:
    return _DIFFERENCE(lab1, lab2, **_PLUGIN)


_TRANSLATIONS: dict[str, Callable[..., Any]] = {"neighbor_masked_attention": _attention, "ciede2000": _difference}


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
            raise ExportError(f"no body for the operator {name!r}", "export", "add it to export/bodies")
        if name not in known:
            model.functions.append(onnx.parser.parse_function(_BODIES[name]))
