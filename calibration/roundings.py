"""What INT8 does to each layer alone: its own rounding, on the float values that reach it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgead.calibration.graft import Graft
from edgead.calibration.probing import answering

_BATCH = 4


@dataclass(frozen=True, eq=False)
class Rounding:
    """What INT8 does to a layer's answer: L is the layer in float, L' has rounded weights and reads the rounded input.

    error: sqrt(mean((L' - L)^2) / var(L)) of an output channel, and of these the root mean square over the channels.
    Each channel counts the same: a small one carries as much to what follows as a large one, and it is small ones that
    a range for the whole tensor rounds away. What is constant in a channel carries nothing.
    shift: mean(L' - L) of each channel, float64 [channels].
    """

    error: float
    shift: NDArray[np.float64]


def roundings(graph: bytes, quantised: bytes, images: NDArray[np.uint8]) -> dict[str, Rounding]:
    """What INT8 does to every quantised layer, by name.

    graph: the float32 detector graph; quantised: the same with Q/DQ; images: uint8 [N, H, W, 3].
    """
    model = onnx.load_from_string(graph)
    layers = _Layers(model, onnx.load_from_string(quantised))
    session = answering(model, layers.outputs())
    sums: list[NDArray[np.float64]] = []
    for begin in range(0, len(images), _BATCH):
        batch = images[begin : begin + _BATCH]
        means = [len(batch) / len(images) * mean.astype(np.float64) for mean in session.run(None, {"image": batch})]
        sums = [total + mean for total, mean in zip(sums, means, strict=True)] if sums else means
    found = {}
    for name, error, square, mean, shift in zip(
        layers.names, sums[::4], sums[1::4], sums[2::4], sums[3::4], strict=True
    ):
        variance = square - mean**2
        live = variance > 1e-9 * square  # a channel that does not change has no error to speak of
        share = float(np.sqrt(np.mean(error[live] / variance[live]))) if live.any() else 0.0
        found[name] = Rounding(share, shift)
    return found


class _Layers:
    """Beside every layer of a float model, the same layer on rounded values, and for each channel the means of its
    squared error, of its squared answer, of its answer and of its error."""

    def __init__(self, model: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
        self._graft = Graft(model, quantised)
        self.names: list[str] = []
        for layer, rounded in list(self._graft.layers()):
            self._add(layer, rounded)

    def outputs(self) -> Iterable[str]:
        """Four for each name."""
        return (f"{name}:{kind}" for name in self.names for kind in ("error", "square", "mean", "shift"))

    def _add(self, layer: onnx.NodeProto, rounded: onnx.NodeProto) -> None:
        name, graph = layer.name, self._graft.graph
        pairs = zip(layer.input[:2], rounded.input[:2], strict=True)
        inputs = [self._graft.rounded(own, other) for own, other in pairs]
        twin = onnx.NodeProto()
        twin.CopyFrom(layer)
        del twin.input[:], twin.output[:]
        twin.name = f"{name}:int8"
        twin.input.extend([*inputs, *layer.input[2:]])
        twin.output.append(twin.name)
        # All but the channel: of a convolution [N, C, H, W], of a product [N, T, C] or [N, C].
        others = {"Conv": [0, 2, 3], "MatMul": [0, 1], "Gemm": [0]}[layer.op_type]
        axes = f"{name}:axes"
        graph.initializer.append(numpy_helper.from_array(np.array(others, np.int64), axes))
        answer, difference = layer.output[0], f"{name}:difference"
        graph.node.extend(
            [
                twin,
                helper.make_node("Sub", [twin.name, answer], [difference]),
                helper.make_node("Mul", [difference, difference], [f"{difference}^2"]),
                helper.make_node("Mul", [answer, answer], [f"{name}:answer^2"]),
                helper.make_node("ReduceMean", [f"{difference}^2", axes], [f"{name}:error"], keepdims=0),
                helper.make_node("ReduceMean", [f"{name}:answer^2", axes], [f"{name}:square"], keepdims=0),
                helper.make_node("ReduceMean", [answer, axes], [f"{name}:mean"], keepdims=0),
                helper.make_node("ReduceMean", [difference, axes], [f"{name}:shift"], keepdims=0),
            ]
        )
        self.names.append(name)
