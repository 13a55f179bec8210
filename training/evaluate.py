"""A trained module as the evaluation takes it: numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from edgead.training.models import DetectorModule


def predictor(model: DetectorModule) -> Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
    """`model` in eval mode as a function: uint8 [N, H, W, 3] RGB -> `score` [N] and `anomaly_map` [N, H, W]."""
    model = model.eval()
    device = next(model.parameters()).device

    def predict(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        with torch.no_grad():
            answer = model(torch.from_numpy(np.ascontiguousarray(images)).to(device))
        return {"score": answer.score.float().cpu().numpy(), "anomaly_map": answer.anomaly_map.float().cpu().numpy()}

    return predict
