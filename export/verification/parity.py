"""Proof, on real images, that what was made of a model still is that model: the exported graph beside the trained one,
and a running engine beside the graph that it was built from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgead.engines.base import Engine
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import ExportError, GateRefused
from edgead.export.graph import OUTPUTS

PARITY_IMAGES = 16
"""Images that such a proof takes, where the largest batch allows."""
TOLERANCE = 1e-4
"""The largest difference allowed, as a share of the largest value of the output on the same images."""
RUNTIME_TOLERANCE = 0.25
"""The mean difference allowed between two runtimes' answers to one graph, as a share of their scale. What INT8 rounds
the other way at a tie makes a twentieth of it in a transformer; a kernel that is wrong, as much as the answers vary."""
_LEAST = 1e-2  # a map's scale, as a share of its largest value, where it hardly varies


@dataclass(frozen=True)
class Parity:
    """Largest differences between PyTorch and ONNX Runtime, relative to the output's largest value; images: how
    many."""

    anomaly_map: float
    score: float
    images: int


def check_parity(model: nn.Module, graph: bytes, images: NDArray[np.uint8], *, tolerance: float = TOLERANCE) -> Parity:
    """Run both on uint8 [N, H, W, 3] and compare every output. Raises ExportError above the tolerance."""
    differences: dict[str, float] = {}
    with OnnxRuntimeEngine(graph, max_batch=len(images)) as engine, torch.no_grad():
        exported = engine.infer(images)
        answers = [answer for answer in model.eval().cpu()(torch.from_numpy(images)) if answer is not None]
    for name, trained in zip(getattr(model, "outputs", OUTPUTS), (answer.numpy() for answer in answers), strict=True):
        scale = max(float(np.abs(trained).max()), float(np.finfo(np.float32).tiny))
        differences[name] = float(np.abs(trained - exported[name]).max()) / scale
        if not differences[name] <= tolerance:
            what = f"the exported {name} differs from the model's by {differences[name]:.2e} of its largest value"
            raise ExportError(what, "export", f"at most {tolerance:.0e} is allowed; report it with the model")
    return Parity(differences["anomaly_map"], differences["score"], len(images))


def check_runtime(engine: Engine, graph: bytes, images: NDArray[np.uint8], score_scale: float) -> dict[str, float]:
    """Hold an engine that is running against ONNX Runtime on the same graph, of any precision, on uint8 [N, H, W, 3].

    Precision costs digits on every runtime alike, and is the gate's affair; a runtime that alone is far off computes
    something else. Labels need not show it: a map may be wrong everywhere and still higher on bad parts.

    score_scale: between which raw scores verdicts lie; a map's scale is its standard deviation over images and places.
    Returns the mean difference of every output as a share of its scale. Raises GateRefused above the tolerance.
    """
    with OnnxRuntimeEngine(graph, max_batch=len(images)) as reference:
        expected = reference.infer(images)
    found, shares = engine.infer(images), {}
    for name, values in expected.items():
        wanted = values.astype(np.float64)
        varying = max(float(wanted.std()), _LEAST * float(np.abs(wanted).max()), float(np.finfo(np.float32).tiny))
        scale = max(score_scale, varying) if name == "score" else varying
        shares[name] = float(np.abs(found[name] - wanted).mean()) / scale
        if not shares[name] <= RUNTIME_TOLERANCE:
            what = f"the same graph gives another {name} than on ONNX Runtime, by {shares[name]:.0%} of its scale"
            raise GateRefused(f"refused: {what}", engine.name, "use another precision, and report it with the bundle")
    return shares
