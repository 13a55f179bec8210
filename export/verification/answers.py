"""What a graph says of many images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.progress import Progress, silent

Predict = Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a graph says of N images. scores: float32 [N]. maps: float32 [N, H, W]. Raw units."""

    scores: NDArray[np.float32]
    maps: NDArray[np.float32]

    def __getitem__(self, which: slice | NDArray[np.bool_]) -> Answers:
        return Answers(self.scores[which], self.maps[which])


def run_all(
    predict: Predict, images: NDArray[np.uint8], batch: int, progress: Progress = silent, what: str = "running"
) -> Answers:
    """Run a graph over uint8 [N, H, W, 3] in batches of at most `batch`."""
    scores, maps = [], []
    for begin in range(0, len(images), batch):
        outputs = predict(images[begin : begin + batch])
        scores.append(outputs["score"].copy())
        maps.append(outputs["anomaly_map"].copy())
        progress(what, min(begin + batch, len(images)), len(images))
    return Answers(np.concatenate(scores), np.concatenate(maps))
