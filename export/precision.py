"""The fp16 graph: the network in half precision, the pixels before it and the score behind it in single.

ONNX Runtime's own converter rounds every value between two float32 nodes through float16 on its way, so a score that
should stay in single precision would not; hence this one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgead.errors import ExportError
from edgead.export.half_scales import halve_scales

NETWORK = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""The layers. What comes before the first of them or after the last stays in float32."""

# Inside the network too: sums over many values, which overflow or lose digits in half precision.
KEEP_FP32 = (
    "LayerNormalization",
    "Softmax",
    "ReduceMean",
    "ReduceSum",
    "ReduceL2",
    "Pow",
    "Sqrt",
    "Exp",
    "Log",
    "CIEDE2000",
)

_FP32_INPUTS = {"Resize": (1, 2)}  # inputs that ONNX defines as float32


def to_fp16(graph: bytes) -> bytes:
    """Convert a detector graph: weights and activations of the network become float16; inputs and outputs keep their
    types.

    Casts stand only where the network begins and ends. Of a graph with Q/DQ the rest becomes float16: what dequantises
    is then a float16, with nothing between it and its layer, so that the layer still runs in INT8. Raises ExportError
    where the graph has no network to convert.
    """
    model = onnx.load_from_string(graph)
    inside = network_nodes(model) | halve_scales(model)
    if not inside:
        raise ExportError("the graph has no layers to convert to fp16", "export", "use the fp32 graph")
    floats = _float_tensors(model)
    _Converter(model, inside, floats).run()
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def network_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes between the first layers and the last, these included, except those that keep float32, and
    those between a colour difference and the layers before it: half precision would round the colours."""
    nodes = list(model.graph.node)
    needed: set[str] = set()  # tensors from which some layer follows
    for node in reversed(nodes):
        if node.op_type in NETWORK or needed & set(node.output):
            needed |= set(node.input)
    derived: set[str] = set()  # tensors that some layer precedes
    for node in nodes:
        if node.op_type in NETWORK or derived & set(node.input):
            derived |= set(node.output)
    colors: set[str] = set()  # tensors that a colour difference follows, with no layer between
    for node in reversed(nodes):
        if node.op_type == "CIEDE2000" or (node.op_type not in NETWORK and colors & set(node.output)):
            colors |= set(node.input)
    between = needed & derived
    return {
        node.name
        for node in nodes
        if node.op_type in NETWORK
        or (node.op_type not in KEEP_FP32 and between & set(node.output) and not colors & set(node.output))
    }


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    named = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return named | {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}


class _Converter:
    """Rewires a graph in place: nodes `inside` compute in float16, with a cast at each crossing."""

    def __init__(self, model: onnx.ModelProto, inside: set[str], floats: set[str]) -> None:
        self.graph, self.inside, self.floats = model.graph, inside, floats
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.halved: set[str] = set()  # tensors that are float16 now
        self.added: dict[str, str] = {}  # tensor -> its copy in the other type
        self.nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        for node in self.graph.node:
            if any(
                attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
                for attribute in node.attribute
            ):
                raise ExportError(
                    f"a {node.op_type} with a body cannot be converted to fp16", node.name, "use the fp32 graph"
                )
            self._convert_inside(node) if node.name in self.inside else self._convert_outside(node)
        outputs = {output.name for output in self.graph.output} & self.halved
        if outputs:
            raise ExportError("an output comes straight from the network", ", ".join(outputs), "add a score behind it")
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _convert_inside(self, node: onnx.NodeProto) -> None:
        for index, name in enumerate(node.input):
            if name in self.floats and name not in self.halved and index not in _FP32_INPUTS.get(node.op_type, ()):
                node.input[index] = (
                    self._half_weight(name) if name in self.weights else self._cast(name, TensorProto.FLOAT16)
                )
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            if node.op_type == "Constant" and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(_half(attribute.t, attribute.t.name))
        self.halved |= self.floats & set(node.output)
        self.nodes.append(node)

    def _convert_outside(self, node: onnx.NodeProto) -> None:
        for index, name in enumerate(node.input):
            if name in self.halved:
                node.input[index] = self._cast(name, TensorProto.FLOAT)
        self.nodes.append(node)

    def _half_weight(self, name: str) -> str:
        if name not in self.added:
            self.added[name] = f"{name}_fp16"
            self.graph.initializer.append(_half(self.weights[name], self.added[name]))
        return self.added[name]

    def _cast(self, name: str, kind: int) -> str:
        if name not in self.added:
            self.added[name] = f"{name}_{'fp16' if kind == TensorProto.FLOAT16 else 'fp32'}"
            self.nodes.append(helper.make_node("Cast", [name], [self.added[name]], f"cast_{self.added[name]}", to=kind))
        return self.added[name]


def _half(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
        raise ExportError("a weight is too large for fp16", tensor.name, "use the fp32 graph")
    return numpy_helper.from_array(values.astype(np.float16), name)


def layer_names(model: onnx.ModelProto, kinds: Iterable[str] = NETWORK) -> list[str]:
    """Names of the nodes of the given kinds, in graph order."""
    wanted = set(kinds)
    return [node.name for node in model.graph.node if node.op_type in wanted]
