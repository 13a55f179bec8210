"""TensorRT for RTX on this GPU: whether it takes the card, and whether its engines answer as the fp32 graph does.

Its list of targets ends at the GeForce, RTX and Jetson cards; a data-centre card is not on it. Each engine, of
detectors that have learned nothing, is built for the card at hand, run on random images, and held against ONNX Runtime
on the fp32 graph. A refusal is a result too, and is written down with its reason.

python benchmarks/rtx_gpu.py [--output FILE]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from measuring import arguments, write

from edgead.calibration.quantize import quantize
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.tensorrt import TensorRtEngine
from edgead.errors import EdgeadError
from edgead.evaluation.difference import map_error
from edgead.export.graph import to_graph
from edgead.export.precision import to_fp16
from edgead.export.tensorrt import PlanOptions, build_plan
from edgead.training.models import build

TARGET, BATCH, SIDE = "tensorrt-rtx", 4, 128
DETECTORS: dict[str, dict[str, Any]] = {
    "lamp": {"height": SIDE, "width": SIDE, "base_width": 16},
    "uniad": {"height": SIDE, "width": SIDE, "backbone": "mobilenet_v2", "hidden": 64, "feed_forward": 128,
              "encoder_layers": 1, "decoder_layers": 1, "feature_height": 8, "feature_width": 8, "dropout": 0.0},
}  # fmt: skip


def outcome(graph: bytes, images: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """The error of the map of an engine that was built and run, or what was said against it."""
    try:
        plan = build_plan(graph, TARGET, PlanOptions(max_batch=BATCH))
        with TensorRtEngine(plan.data, TARGET, max_batch=BATCH, graph=graph) as engine:
            answer = engine.infer(images)
    except EdgeadError as error:
        return {"refused": str(error)}
    return {"map_error": map_error(expected, answer["anomaly_map"]), "bytes": len(plan.data)}


def main() -> None:
    given = arguments(__doc__).parse_args()
    images = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), np.uint8)
    found: dict[str, Any] = {}
    for family, options in DETECTORS.items():
        torch.manual_seed(0)
        graph = to_graph(build(family, options).eval(), SIDE, SIDE, BATCH)
        with OnnxRuntimeEngine(graph, max_batch=BATCH) as engine:
            expected = engine.infer(images[:BATCH])["anomaly_map"]
        quantised = quantize(graph, images)
        graphs = {"fp32": graph, "fp16": to_fp16(graph), "int8": quantised, "mixed": to_fp16(quantised)}
        found[family] = {name: outcome(each, images[:BATCH], expected) for name, each in graphs.items()}
        print(family, found[family])
    properties = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    device = properties.name if properties else "no GPU"
    capability = f"{properties.major}.{properties.minor}" if properties else None
    write(given.output, device, {"compute_capability": capability, "engines": found})


if __name__ == "__main__":
    main()
