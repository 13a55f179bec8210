"""Which operators of ours TensorRT runs as plugins, and which by their bodies: the graph says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from google.protobuf.message import DecodeError
from onnx import helper

from edgead.engines.plugins import NAMESPACE, OPERATORS

ATTRIBUTE = "plugin_namespace"  # by which TensorRT's parser knows a node that is a plugin's


@dataclass(frozen=True)
class Selection:
    """A graph for TensorRT's parser. plugins: its nodes that run as plugins. bodies: `name: why not`, for those that
    run as what their operator is in standard ones."""

    model: bytes
    plugins: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()


def select(model: bytes, bodies: Mapping[str, str]) -> Selection:
    """Have the operators of ours run as plugins, but for those in `bodies`, which maps an operator to the reason.

    One that runs as a plugin loses its body, which TensorRT 10.3 would prefer, and its nodes name the plugin's
    namespace, in graphs of older bundles as well. Nodes of the others do not name it. What is no graph comes back as
    it is.
    """
    if not any(name.encode() in model for name in OPERATORS):
        return Selection(model)
    try:
        graph = onnx.load_from_string(model)
    except DecodeError:
        return Selection(model)  # the parser will say so
    plugins, others = [], []
    for node in graph.graph.node:
        if node.domain != NAMESPACE:
            continue
        kept = [attribute for attribute in node.attribute if attribute.name != ATTRIBUTE]
        if node.op_type in bodies:
            others.append(f"{node.name}: {bodies[node.op_type]}")
        else:
            plugins.append(node.name)
            kept.append(helper.make_attribute(ATTRIBUTE, NAMESPACE))
        del node.attribute[:]
        node.attribute.extend(kept)
    functions = [each for each in graph.functions if each.domain != NAMESPACE or each.name in bodies]
    del graph.functions[:]
    graph.functions.extend(functions)
    return Selection(graph.SerializeToString(deterministic=True), tuple(plugins), tuple(others))
