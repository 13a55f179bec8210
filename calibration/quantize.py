"""INT8 as explicit Q/DQ: ONNX Runtime's quantiser, set so that TensorRT and OpenVINO both take the result.

Symmetric int8 for activations and for weights (a scale for each output channel), biases left in float, Q/DQ in front of
every layer with weights and nowhere else: TensorRT runs a layer in INT8 only where DQ is its direct producer, with not
even a copy between them. Attention, normalisations and everything behind the last layer keep float32, what they read as
well: the distance and the score are never quantised.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator

from edgead.calibration.magnitudes import magnitudes
from edgead.calibration.mse import best_threshold
from edgead.calibration.roundings import roundings
from edgead.errors import CalibrationError
from edgead.progress import Progress, silent

METHODS = ("minmax", "entropy", "percentile", "mse")
LAYERS = ("Conv", "MatMul", "Gemm")
PERCENTILE = 99.99
MAX_LAYER_ERROR = 0.12
"""What `edgead build-engine` lets INT8 change of a layer's answer (docs/decisions/0013)."""

# With its default of 128 bins the entropy search has a single threshold to choose from: the maximum.
_CALIBRATORS: dict[str, tuple[CalibrationMethod, dict[str, float]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "entropy": (CalibrationMethod.Entropy, {"num_bins": 1024, "num_quantized_bins": 128}),
    "percentile": (CalibrationMethod.Percentile, {"num_bins": 2048, "percentile": PERCENTILE}),
}
_CHUNK = 8
_PROBES = 32  # images on which the layers' roundings are measured: means over thousands of places each
_DEQUANTISE = "DequantizeLinear"
_PASSING = ("Pad", "MaxPool", "Slice", "Relu", "LeakyRelu")


class Quantiser:
    """A float32 detector graph whose layers can be given INT8 one by one.

    What takes long, the ranges that the activations take on the images, is found once. layers: names of those that can
    read INT8; modules: what the model itself calls each, empty where the exporter has lost that. roundings: what INT8
    does to each of them alone.
    """

    def __init__(
        self, graph: bytes, images: NDArray[np.uint8], *, method: str = "minmax", progress: Progress = silent
    ) -> None:
        """images: uint8 [N, H, W, 3]. method: as in `quantize`, which tells what is raised as well."""
        if method not in METHODS:
            todo = f"choose one of {', '.join(METHODS)}"
            raise CalibrationError(f"no calibration method {method!r}", "calibration", todo)
        if len(images) == 0:
            raise CalibrationError("there are no calibration images", "calibration", "give a folder of normal images")
        model = onnx.load_from_string(graph)
        self._source = graph
        named = weighted_layers(model)
        self.modules = {name: named[name] for name in named.keys() - _behind_joints(model)}
        self.layers = frozenset(self.modules)
        if not self.layers:
            todo = "use the fp32 or the fp16 graph"
            raise CalibrationError("the graph has no layers to quantise", "calibration", todo)
        if method == "mse":
            self._ranges = _least_squares(graph, sorted(_read(model, set(self.layers))), images, progress)
        else:
            self._ranges = _activation_ranges(graph, images, method, progress)
        self._pixels = _pixel_ranges(graph, images.shape[1:])
        whole = _quantised(graph, self.layers, self._ranges, self._pixels)
        self.roundings = roundings(graph, whole, images[:_PROBES])

    def within(self, max_layer_error: float) -> frozenset[str]:
        """The layers whose answer INT8 changes by no more than this share. Raises CalibrationError where there is
        none."""
        good = frozenset(name for name in self.layers if self.roundings[name].error <= max_layer_error)
        if not good:
            todo = "use fp16, or allow more"
            raise CalibrationError(f"INT8 changes every layer by more than {max_layer_error}", "calibration", todo)
        return good

    def graph(self, layers: Collection[str]) -> bytes:
        """The graph with INT8 in these layers and float32 in all others, biases corrected. Deterministic."""
        quantised = _quantised(self._source, layers, self._ranges, self._pixels)
        return _without_shifts(quantised, {name: self.roundings[name].shift for name in layers})


def quantize(
    graph: bytes,
    images: NDArray[np.uint8],
    *,
    method: str = "minmax",
    max_layer_error: float = math.inf,
    progress: Progress = silent,
) -> bytes:
    """Quantise a float32 detector graph with the ranges that its activations take on `images`, uint8 [N, H, W, 3].

    method: `minmax` (the whole range), `entropy` (KL divergence), `percentile` (99.99 % of the values) or `mse` (the
    least squared error of rounding and clipping).
    max_layer_error: a layer stays in float where INT8 changes its answer by more than this share, see `Rounding`.
    Deterministic. Raises CalibrationError for an unknown method, no images, or a graph without layers, also where all
    of them would stay in float.
    """
    quantiser = Quantiser(graph, images, method=method, progress=progress)
    return quantiser.graph(quantiser.within(max_layer_error))


def _without_shifts(quantised: bytes, shifts: Mapping[str, NDArray[np.float64]]) -> bytes:
    """Take from the bias of each convolution what rounding adds to its answer on average: noise averages out over the
    layers, a shift does not. Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction"."""
    model = onnx.load_from_string(quantised)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        bias = constants.get(node.input[2]) if node.op_type == "Conv" and len(node.input) > 2 else None
        if node.name in shifts and bias is not None and readers[bias.name] == 1:
            corrected = numpy_helper.to_array(bias) - shifts[node.name]
            bias.CopyFrom(numpy_helper.from_array(corrected.astype(np.float32), bias.name))
    return bytes(model.SerializeToString(deterministic=True))


def _quantised(
    graph: bytes, layers: Collection[str], ranges: TensorsData, pixels: dict[str, list[dict[str, Any]]]
) -> bytes:
    """The graph with Q/DQ in front of the layers named."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), strict_mode=True)
    read = {name for node in model.graph.node if node.name in layers for name in node.input}
    with _quiet():
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=[node.name for node in model.graph.node if node.name not in layers],
            op_types_to_quantize=list(LAYERS),
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(LAYERS),
                "TensorQuantOverrides": {name: found for name, found in pixels.items() if name in read},
            },
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        model = quantizer.model.model
    _keep_floats(model, layers)
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def weighted_layers(model: onnx.ModelProto) -> dict[str, str]:
    """Names of the convolutions and products with weights, and the model's own name of each, empty where the exporter
    has lost it. A product of two activations, as in attention, is none."""
    weights, found = {tensor.name for tensor in model.graph.initializer}, {}
    for node in model.graph.node:
        own = [name for name in node.input[:2] if name in weights]
        if node.op_type in LAYERS and own:
            module, end, _ = own[0].rpartition(".weight")
            found[node.name] = module if end else ""
    return found


def _behind_joints(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes that read what a Concat has joined, as it is or padded, pooled, cut or rectified.

    OpenVINO 2026.4 moves the rounding in front of the joint, and the layer's answer is wrong by as much as it varies;
    ONNX Runtime's is right. Such a layer keeps float.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    behind = set()
    for node in model.graph.node:
        source = producers.get(node.input[0]) if node.input else None
        while source is not None and source.op_type in _PASSING:
            source = producers.get(source.input[0])
        if source is not None and source.op_type == "Concat":
            behind.add(node.name)
    return behind


def _keep_floats(model: onnx.ModelProto, layers: Collection[str]) -> None:
    """Give what is no layer the float values again: the quantiser gives every reader of a tensor the rounded ones.

    A shortcut past a convolution keeps them where another layer follows: engines fuse that sum into the convolution.
    With float ones OpenVINO 2026.4 was wrong by half the score on MobileNetV2, in sums of two convolutions' answers.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    needed: set[str] = set()  # tensors from which some layer follows
    for node in reversed(model.graph.node):
        follows = bool(needed & set(node.output))
        if follows or node.name in layers:
            needed |= set(node.input)
        sources = [producers.get(name) for name in node.input]
        convolved = any(source is not None and source.op_type == "Conv" for source in sources)
        if node.name in layers or (node.op_type == "Add" and convolved and follows):
            continue
        for index, source in enumerate(sources):
            quantised = producers.get(source.input[0]) if source is not None and source.op_type == _DEQUANTISE else None
            if quantised is not None:
                node.input[index] = quantised.input[0]


def _read(model: onnx.ModelProto, layers: set[str]) -> set[str]:
    """The activations that the layers read."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {name for node in model.graph.node if node.name in layers for name in node.input[:2]} - constants


def _least_squares(graph: bytes, tensors: Sequence[str], images: NDArray[np.uint8], progress: Progress) -> TensorsData:
    """The symmetric range of least squared error of each tensor on the images."""
    found = magnitudes(graph, tensors, images, progress)
    thresholds = {name: np.float32(best_threshold(counts, largest)) for name, (counts, largest) in found.items()}
    return TensorsData(CalibrationMethod.MinMax, {name: (-top, top) for name, top in thresholds.items()})


def _activation_ranges(graph: bytes, images: NDArray[np.uint8], method: str, progress: Progress) -> TensorsData:
    """What each tensor in front of a layer spans on the images, by a method of ONNX Runtime's."""
    kind, settings = _CALIBRATORS[method]
    with _scratch() as folder:
        source = folder / "fp32.onnx"
        source.write_bytes(graph)
        calibrator = create_calibrator(
            source,
            list(LAYERS),
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=kind,
            extra_options={"symmetric": True, **settings},
        )
        # The library keeps every activation of what it is given until it is asked for the next: a few images at a time.
        for begin in range(0, len(images), _CHUNK):
            with _quiet():
                calibrator.collect_data(_Reader(images[begin : begin + _CHUNK]))
            progress("calibrating", min(begin + _CHUNK, len(images)), len(images))
        with _quiet():
            return calibrator.compute_data()


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for the files that the library reads graphs from. Raises CalibrationError where there is no room."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgead-") as folder:
            yield Path(folder)
    except OSError as error:
        what = f"no scratch file can be written ({error.strerror})"
        raise CalibrationError(what, "calibration", "free some space, or set TMPDIR to another folder") from error


def _pixel_ranges(graph: bytes, shape: tuple[int, ...]) -> dict[str, list[dict[str, Any]]]:
    """The ranges of the tensors between the pixels and the first layers, from a black and a white image, and of those
    that the graph itself has cut to a range.

    Good parts are never as bright as a defect can be. With the range that they span, a white spot would be clipped to
    the brightest good pixel, and its score would fall to that of a good part. So it is with a map of differences that
    a network reads: good parts have none.
    """
    model = onnx.load_from_string(graph)
    cut = _bounds(model)
    pixels = {value.name for value in model.graph.input}
    behind: set[str] = set()  # tensors that some layer precedes: two images say nothing of their range
    entering: list[str] = []
    for node in model.graph.node:
        if node.op_type in LAYERS:
            entering += [name for name in node.input if name in pixels and name not in entering]
        if node.op_type in LAYERS or behind & set(node.input):
            behind |= set(node.output)
        elif pixels & set(node.input) and node.op_type != "Shape":
            pixels |= set(node.output)
    for name in entering:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    extremes = np.stack([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])
    reached = session.run(entering, {"image": extremes})
    ranges = {name: (values.min(), values.max()) for name, values in zip(entering, reached, strict=True)}
    return {name: [{"symmetric": True, "rmin": low, "rmax": high}] for name, (low, high) in {**cut, **ranges}.items()}


def _bounds(model: onnx.ModelProto) -> dict[str, tuple[np.float32, np.float32]]:
    """The tensors that a Clip between two constants makes, with its bounds."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    found = {}
    for node in model.graph.node:
        if node.op_type == "Clip" and len(node.input) == 3 and all(name in constants for name in node.input[1:]):
            low, high = (np.float32(numpy_helper.to_array(constants[name])) for name in node.input[1:])
            found[node.output[0]] = (low, high)
    return found


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped library
    """Hands out one image at a time, so that ranges do not depend on a batch."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._remaining = iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._remaining, None)
        return None if image is None else {"image": image[None]}


def _strip(model: onnx.ModelProto) -> None:
    model.producer_name, model.producer_version, model.doc_string = "edgead", "", ""
    for holder in (model, *model.graph.node):
        del holder.metadata_props[:]
    del model.graph.value_info[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library prints its progress and advises a preparation that export has done already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
