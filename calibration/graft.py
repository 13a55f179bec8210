"""Q/DQ of a quantised graph copied into the float graph that it came from."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import helper


class Graft:
    """A float graph that takes roundings from a quantised one, tensor by tensor. `model` is changed in place: what is
    taken stands at its end."""

    def __init__(self, model: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
        self.graph = model.graph
        self._quantised = quantised.graph
        self._constants = {tensor.name: tensor for tensor in quantised.graph.initializer}
        self._producers = {name: node for node in quantised.graph.node for name in node.output}
        self._present = {tensor.name for tensor in model.graph.initializer}
        self._copies: set[str] = set()

    def layers(self) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
        """Every layer that reads rounded values, as it is in the float graph and as it is in the quantised one."""
        floats = {node.name: node for node in self.graph.node}
        for node in self._quantised.node:
            sources = [self._producers.get(name) for name in node.input[:2]]
            if node.name in floats and sources and all(s is not None and _dequantises(s) for s in sources):
                yield floats[node.name], node

    def rounded(self, own: str, other: str) -> str:
        """The tensor `own` of the float graph as the quantised one hands it to a layer under the name `other`."""
        copy = f"{own}>{other}"
        if copy in self._copies:
            return copy
        self._copies.add(copy)
        dequantise = self._producers[other]
        source = self._producers.get(dequantise.input[0])
        begin = dequantise.input[0]
        for name in dequantise.input[1:]:
            self._take(name)
        if source is None:
            self._take(begin)
        else:
            for name in source.input[1:]:
                self._take(name)
            begin = f"{copy}:q"
            self.graph.node.append(helper.make_node("QuantizeLinear", [own, *source.input[1:]], [begin]))
        last = helper.make_node("DequantizeLinear", [begin, *dequantise.input[1:]], [copy])
        last.attribute.extend(dequantise.attribute)
        self.graph.node.append(last)
        return copy

    def corrected(self, name: str) -> str:
        """A bias with the value that it has in the quantised graph; `name` itself where it has none."""
        if name not in self._constants:
            return name
        copy = f"{name}>corrected"
        if copy not in self._copies:
            self._copies.add(copy)
            tensor = onnx.TensorProto()
            tensor.CopyFrom(self._constants[name])
            tensor.name = copy
            self.graph.initializer.append(tensor)
        return copy

    def _take(self, name: str) -> None:
        if name not in self._present:
            self._present.add(name)
            self.graph.initializer.append(self._constants[name])


def _dequantises(node: onnx.NodeProto) -> bool:
    return node.op_type == "DequantizeLinear"
