"""A trained model on test images; the features of its backbone are kept for the next model of the same parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgead.training.features import collect
from edgead.training.models import Answer, DetectorModule
from edgead.training.options import FitOptions

BATCH = 32


@dataclass(frozen=True)
class Loaded:
    """Images that are in memory already: uint8 [N, H, W, 3]."""

    images: NDArray[np.uint8]

    @property
    def seams(self) -> Sequence[int]:
        return [len(self)]

    def __len__(self) -> int:
        return len(self.images)

    def read(self, begin: int, end: int) -> NDArray[np.uint8]:
        """uint8 [end - begin, H, W, 3] RGB."""
        return self.images[begin:end]


def predictor(
    model: DetectorModule, options: FitOptions
) -> Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
    """`model` in eval mode as the evaluation takes it: uint8 [N, H, W, 3] RGB -> `score` [N] and `anomaly_map`
    [N, H, W]. Features come from where the training's do."""
    model, device = model.eval(), options.device

    def predict(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        inputs = collect(model, Loaded(images), options.features, device=device).gather(range(len(images)))
        answer = answer_of(model.to(device), inputs.to(device), options)
        return {"score": answer.score.float().cpu().numpy(), "anomaly_map": answer.anomaly_map.float().cpu().numpy()}

    return predict


def answer_of(model: DetectorModule, inputs: Tensor, options: FitOptions) -> Answer:
    """The model's answer to what `collect` gave with the training's choice of features."""
    with torch.no_grad():
        if model.frozen_features and options.features != "off":
            return model.answer(inputs)
        answer: Answer = model(inputs)
        return answer
