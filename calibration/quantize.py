"""INT8 as explicit Q/DQ: ONNX Runtime's quantiser, set so that TensorRT and OpenVINO both take the result.

Symmetric int8 for activations and for weights (a scale for each output channel), biases left in float, Q/DQ in front of every
layer and nowhere else. Everything behind the last layer keeps float32: the distance and the score are never quantised.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from edgead.errors import CalibrationError
from edgead.progress import Progress, silent

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
PERCENTILE = 99.99


def quantize(graph: bytes, images: NDArray[np.uint8], *, method: str = "minmax", progress: Progress = silent) -> bytes:
    """Quantise a float32 detector graph with the ranges that its activations take on `images`, uint8 [N, H, W, 3].

    method: `minmax` (the whole range), `entropy` (KL divergence) or `percentile` (99.99 % of the values). Deterministic. Raises
    CalibrationError for an unknown method, no images, or a graph without layers.
    """
    if method not in METHODS:
        raise CalibrationError(
            f"no calibration method {method!r}", "calibration", f"choose one of {', '.join(METHODS)}"
        )
    if len(images) == 0:
        raise CalibrationError("there are no calibration images", "calibration", "give a folder of normal images")
    with tempfile.TemporaryDirectory(prefix="edgead-") as folder, _quiet():
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(graph)
        quantize_static(
            source,
            target,
            _Reader(images, progress),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(LAYERS),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(LAYERS),
                "CalibPercentile": PERCENTILE,
            },
        )
        model = onnx.load(target)
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise CalibrationError("the graph has no layers to quantise", "calibration", "use the fp32 or the fp16 graph")
    quantise_before_resize(model)
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def quantise_before_resize(model: onnx.ModelProto) -> None:
    """Move Q/DQ from behind a nearest-neighbour Resize to the front of it, in place.

    Copying values commutes with rounding them, so the graph computes the same numbers; the copy then moves a quarter of the bytes.
    """
    nodes = list(model.graph.node)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for resize in nodes:
        mode = next((attribute.s for attribute in resize.attribute if attribute.name == "mode"), b"nearest")
        if resize.op_type != "Resize" or mode != b"nearest":
            continue
        following = readers.get(resize.output[0], [])
        if len(following) != 1 or following[0].op_type != "QuantizeLinear":
            continue
        quantise = following[0]
        (dequantise,) = readers[quantise.output[0]]
        before, resized, final = resize.input[0], resize.output[0], dequantise.output[0]
        quantise.input[0], dequantise.output[0] = before, f"{resized}_dequantised"
        resize.input[0], resize.output[0] = dequantise.output[0], final
        nodes.remove(resize)
        nodes.insert(nodes.index(dequantise) + 1, resize)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped library
    """Hands out one image at a time: ranges do not depend on the batch, and memory stays small."""

    def __init__(self, images: NDArray[np.uint8], progress: Progress) -> None:
        self._images, self._progress = images, progress
        self._position = 0

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        if self._position == len(self._images):
            return None
        self._position += 1
        self._progress("calibrating", self._position, len(self._images))
        return {"image": self._images[self._position - 1 : self._position]}


def _strip(model: onnx.ModelProto) -> None:
    model.producer_name, model.producer_version, model.doc_string = "edgead", "", ""
    for holder in (model, *model.graph.node):
        del holder.metadata_props[:]
    del model.graph.value_info[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints its progress and advises a preparation that export has done already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
