"""The exported graph says what the trained model says, shown on real images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import ExportError

TOLERANCE = 1e-4
"""The largest difference allowed, as a share of the largest value of the output on the same images."""


@dataclass(frozen=True)
class Parity:
    """Largest differences between PyTorch and ONNX Runtime, relative to the output's largest value; images: how
    many."""

    anomaly_map: float
    score: float
    images: int


def check_parity(model: nn.Module, graph: bytes, images: NDArray[np.uint8], *, tolerance: float = TOLERANCE) -> Parity:
    """Run both on uint8 [N, H, W, 3]. Raises ExportError above the tolerance."""
    differences: dict[str, float] = {}
    with OnnxRuntimeEngine(graph, max_batch=len(images)) as engine, torch.no_grad():
        exported = engine.infer(images)
        anomaly_map, score = model.eval().cpu()(torch.from_numpy(images))[:2]
    for name, trained in (("anomaly_map", anomaly_map.numpy()), ("score", score.numpy())):
        scale = max(float(np.abs(trained).max()), float(np.finfo(np.float32).tiny))
        differences[name] = float(np.abs(trained - exported[name]).max()) / scale
        if not differences[name] <= tolerance:
            what = f"the exported {name} differs from the model's by {differences[name]:.2e} of its largest value"
            raise ExportError(what, "export", f"at most {tolerance:.0e} is allowed; report it with the model")
    return Parity(differences["anomaly_map"], differences["score"], len(images))
