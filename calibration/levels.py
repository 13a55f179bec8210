"""Where on the way through a detector an error comes in: the levels of its feature pyramid, in two precisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edgead.calibration.probing import answering
from edgead.calibration.quantize import LAYERS

_BATCH = 4


@dataclass(frozen=True)
class LevelError:
    """A level of the pyramid: features that the graph joins with those of other levels.

    name: of the tensor. shape: channels, height, width. error: sqrt(mean((other - reference)^2)) / std(reference).
    """

    name: str
    shape: tuple[int, int, int]
    error: float


def level_errors(reference: bytes, other: bytes, images: NDArray[np.uint8]) -> tuple[LevelError, ...]:
    """The levels of a detector's graph, from the pixels on, and how far another precision of it is off in each.

    A level is what a Concat of channels joins behind the first layers: the stages of a backbone in front of a
    transformer, the two halves of a U-Net at each of its sizes. images: uint8 [N, H, W, 3]; a dozen tell. Empty for a
    graph that joins nothing. Both run on ONNX Runtime, whatever engine they are meant for.
    """
    first, second = onnx.load_from_string(reference), onnx.load_from_string(other)
    present = {name for node in second.graph.node for name in node.output}
    names = [name for name in _joined(first) if name in present]
    if not names:
        return ()
    sums = np.zeros((len(names), 4))  # of the values, their squares, the squared differences, and how many
    shapes: dict[str, tuple[int, int, int]] = {}
    sessions = [answering(model, names) for model in (first, second)]
    for begin in range(0, len(images), _BATCH):
        batch = {"image": images[begin : begin + _BATCH]}
        pairs = zip(*(session.run(None, batch) for session in sessions), strict=True)
        for row, (ours, theirs) in enumerate(pairs):
            shapes[names[row]] = ours.shape[1:]
            values = ours.astype(np.float64)
            difference = theirs.astype(np.float64) - values
            sums[row] += values.sum(), np.square(values).sum(), np.square(difference).sum(), values.size
    return tuple(LevelError(name, shapes[name], _share(*total)) for name, total in zip(names, sums, strict=True))


def _share(total: float, squares: float, differences: float, count: float) -> float:
    variance = squares / count - (total / count) ** 2
    return float(np.sqrt(differences / count / variance)) if variance > 0 else 0.0


def _joined(model: onnx.ModelProto) -> Sequence[str]:
    """Tensors with four axes that lie behind a layer and that a Concat joins channel by channel, in the graph's
    order."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in inferred.value_info}
    behind: set[str] = set()
    found: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type in LAYERS or behind & set(node.input):
            behind |= set(node.output)
        if node.op_type == "Concat" and node.attribute[0].i == 1:
            found |= dict.fromkeys(name for name in node.input if name in behind and ranks.get(name) == 4)
    return list(found)
