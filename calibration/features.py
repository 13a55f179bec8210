"""What a detector itself sees in an image: the mean answer of every channel of its layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from edgead.calibration.probing import answering
from edgead.calibration.quantize import weighted_layers
from edgead.data.loading import load_images
from edgead.data.samples import Sample
from edgead.errors import CalibrationError
from edgead.progress import Progress, silent

_CHUNK = 16  # images in memory at once


def layer_features(
    graph: bytes, samples: Sequence[Sample], height: int, width: int, progress: Progress = silent
) -> NDArray[np.float32]:
    """float32 [N, channels of all layers]: the means over space of what each convolution and product with weights of a
    float32 detector graph answers, standardised over the images; a channel that never changes is 0.

    These are the tensors whose ranges INT8 cuts. Raises CalibrationError for a graph without layers, DataError for an
    image that cannot be read.
    """
    model = onnx.load_from_string(graph)
    names = weighted_layers(model)
    layers = [node for node in model.graph.node if node.name in names]
    if not layers:
        raise CalibrationError("the graph has no layers to take features of", "calibration", "select at random")
    answers = [node.output[0] for node in layers]
    channels = [1 if node.op_type == "Conv" else -1 for node in layers]
    session = answering(model, answers)
    rows: list[NDArray[np.float32]] = []
    for begin in range(0, len(samples), _CHUNK):
        # One at a time: wherever a layer's answer keeps the batch, what is left beside the channel is space.
        for image in load_images(samples[begin : begin + _CHUNK], height, width):
            found = session.run(answers, {"image": image[None]})
            means = [_channel_means(values, axis) for values, axis in zip(found, channels, strict=True)]
            rows.append(np.concatenate(means))
            progress("comparing images", len(rows), len(samples))
    return _standardised(np.stack(rows))


def _channel_means(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    means: NDArray[np.float32] = rows.mean(axis=1, dtype=np.float64).astype(np.float32)
    return means


def _standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = features - features.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    # What rounding alone moves is no difference between images.
    still = deviation <= 1e-6 * np.abs(features).max(axis=0)
    return np.where(still, 0, centred / np.where(still, 1, deviation)).astype(np.float32)
