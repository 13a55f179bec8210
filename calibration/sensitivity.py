"""How much each layer costs the detector in INT8, beside all others in float: the table that a search goes by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgead.calibration.graft import Graft
from edgead.calibration.probing import answering
from edgead.calibration.quantize import weighted_layers
from edgead.calibration.roundings import Rounding, roundings
from edgead.evaluation.difference import map_error
from edgead.progress import Progress, silent

_BATCH = 4


@dataclass(frozen=True)
class LayerSensitivity:
    """A layer in INT8.

    module: the model's own name of it, empty where the exporter has lost it. kind: `Conv 3x3`, `Conv 3x3 depthwise`,
    `MatMul`. weights: how many. rounding: what INT8 changes of its own answer,
    as `Rounding` has it. map_error: what that alone changes of the anomaly map, by `edgead.evaluation.difference`, or
    None where it was not asked for.
    """

    name: str
    module: str
    kind: str
    weights: int
    rounding: float
    map_error: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def sensitivities(
    graph: bytes,
    quantised: bytes,
    images: NDArray[np.uint8],
    progress: Progress = silent,
    *,
    found: Mapping[str, Rounding] | None = None,
) -> tuple[LayerSensitivity, ...]:
    """Every layer of `quantised` that reads INT8, in the order of the graph.

    graph: the float32 detector graph; quantised: the same with Q/DQ. images: uint8 [N, H, W, 3]; a dozen tell. The
    detector runs once for each layer. found: the layers' roundings, where somebody has measured them already.
    """
    found = found or roundings(graph, quantised, images)
    reference = _maps(onnx.load_from_string(graph), images)
    errors = {}
    for done, name in enumerate(found, 1):
        errors[name] = map_error(reference, _maps(alone(graph, quantised, name), images))
        progress("trying each layer", done, len(found))
    return described(graph, found, errors)


def described(
    graph: bytes, found: Mapping[str, Rounding], errors: Mapping[str, float] | None = None
) -> tuple[LayerSensitivity, ...]:
    """The table of what was found. errors: of the map, by layer."""
    model = onnx.load_from_string(graph)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    modules, rows = weighted_layers(model), []
    for node in model.graph.node:
        if node.name in found:
            weight = next(source for source in node.input[:2] if source in shapes)
            kind, count = _kind(node, shapes[weight]), math.prod(shapes[weight])
            error = (errors or {}).get(node.name)
            rows.append(LayerSensitivity(node.name, modules[node.name], kind, count, found[node.name].error, error))
    return tuple(rows)


def alone(graph: bytes, quantised: bytes, name: str) -> onnx.ModelProto:
    """The float graph with one layer as it is in the quantised one, its corrected bias included."""
    model = onnx.load_from_string(graph)
    graft = Graft(model, onnx.load_from_string(quantised))
    layer, rounded = next(pair for pair in graft.layers() if pair[0].name == name)
    before = len(model.graph.node)
    for place, (own, other) in enumerate(zip(layer.input, rounded.input, strict=True)):
        layer.input[place] = graft.rounded(own, other) if place < 2 else graft.corrected(other)
    nodes = list(model.graph.node)
    place = next(index for index, node in enumerate(nodes) if node.name == name)
    ordered = [*nodes[:place], *nodes[before:], *nodes[place:before]]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    return model


def _maps(model: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = answering(model, ["anomaly_map"])
    batches = [images[begin : begin + _BATCH] for begin in range(0, len(images), _BATCH)]
    return np.concatenate([session.run(None, {"image": batch})[0] for batch in batches])


def _kind(node: onnx.NodeProto, shape: tuple[int, ...]) -> str:
    if node.op_type != "Conv":
        return str(node.op_type)
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    form = "" if groups == 1 else " depthwise" if groups == shape[0] else f" of {groups} groups"
    return f"Conv {'x'.join(map(str, shape[2:]))}{form}"
