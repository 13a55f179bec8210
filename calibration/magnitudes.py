"""How large the values of activations are: histograms over calibration images, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from edgead.calibration.probing import answering
from edgead.progress import Progress, silent

BINS = 2048


def magnitudes(
    graph: bytes, tensors: Sequence[str], images: NDArray[np.uint8], progress: Progress = silent
) -> dict[str, tuple[NDArray[np.int64], float]]:
    """Of each tensor of a float32 graph, how many |x| on `images` lie in each of 2048 bins of one width between 0 and
    the largest, int64 [2048], and the largest.

    images: uint8 [N, H, W, 3]. Zeros are not counted, since every range keeps them: behind a ReLU they are most of the
    values, and a bin would make small ones of them. Each image runs twice, as the bins are known only from the largest.
    """
    session = answering(onnx.load_from_string(graph), tensors)

    def sizes(done: int) -> Iterator[list[NDArray[np.float32]]]:
        for index, image in enumerate(images, done + 1):
            yield [np.abs(values[values != 0]) for values in session.run(None, {"image": image[None]})]
            progress("calibrating", index, 2 * len(images))

    largest = [0.0] * len(tensors)
    for found in sizes(0):
        largest = [max(top, float(values.max(initial=0))) for top, values in zip(largest, found, strict=True)]
    counts = [np.zeros(BINS, np.int64) for _ in tensors]
    for found in sizes(len(images)):
        for count, values, top in zip(counts, found, largest, strict=True):
            places = np.minimum(values * (BINS / top) if top else values, BINS - 1)
            count += np.bincount(places.astype(np.int64), minlength=BINS)
    return {name: (count, top) for name, count, top in zip(tensors, counts, largest, strict=True)}
