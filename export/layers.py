"""What a TensorRT builder made of a graph: its layers, their types, and which products of the graph run in INT8."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_TYPES = {"float": "fp32", "half": "fp16", "bfloat16": "bf16"}
_TYPE = re.compile(r"\b(Float|Half|BFloat16|FP32|FP16|BF16|FP8|FP4|U?Int8|Int4|Int32|Int64|Bool)\b", re.IGNORECASE)
_PRODUCT_KIND = re.compile(r"conv|correlation|gemm|matrix|fullyconnected", re.IGNORECASE)
_PRODUCT_NAME = "_gemm_"  # fused attention, two products in one: `_gemm_mha_v2_myl0_7`
_FUSED = re.compile(r"^__myl_([A-Za-z]+)_")  # a fusion is called after its steps: `__myl_CorrMulMax_myl0_3`
_STEP = re.compile(r"[A-Z][a-z0-9]*")
_PRODUCT_STEPS = frozenset({"Corr", "Conv", "Deco", "Fc", "Gemm", "Matm"})

UNREPORTED = "unreported"


@dataclass(frozen=True)
class Layer:
    """One layer of a plan.

    kind: as the library calls it, or `unreported` for a product of the graph that no layer of its report mentions.
    inputs, outputs, constants: types (`fp32`, `fp16`, `int8`, ...). sources: names of the ONNX nodes that went into
    it. products: those of them that are convolutions or matrix products, computed here.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    products: tuple[str, ...] = ()

    @property
    def multiplies(self) -> bool:
        """Whether it computes a convolution or a matrix product, alone or among other steps."""
        fused = bool(_PRODUCT_STEPS & set(self._steps())) or self.name.startswith(_PRODUCT_NAME)
        return fused or bool(_PRODUCT_KIND.search(self.kind))

    @property
    def int8(self) -> bool:
        """Whether its product is of int8 with int8. A fusion may take int8 and convert it before it multiplies."""
        steps = self._steps()
        before = itertools.takewhile(lambda step: step not in _PRODUCT_STEPS, steps)
        if "Cast" in before:
            return False
        weights = not self.constants or "int8" in self.constants
        return "int8" in self.inputs and (weights or self.inputs.count("int8") >= 2)

    def _steps(self) -> list[str]:
        fused = _FUSED.match(self.name)
        return _STEP.findall(fused.group(1)) if fused else []


@dataclass(frozen=True)
class ConvolutionReport:
    """How many convolutions and matrix products of a graph run in INT8. others: `name: why not`, for the rest."""

    int8: int
    total: int
    others: tuple[str, ...]

    def __str__(self) -> str:
        head = f"{self.int8} of {self.total} convolutions and matrix products run in INT8"
        return "\n".join((head, *(f"  {other}" for other in self.others)))


def convolution_report(layers: Iterable[Layer]) -> ConvolutionReport:
    """Count the products of a graph that the layers of its plan compute in INT8."""
    by_product: dict[str, list[Layer]] = {}
    for layer in layers:
        for product in layer.products:
            by_product.setdefault(product, []).append(layer)
    others = []
    for product, computing in by_product.items():
        faults = [_why(layer) for layer in computing if not layer.int8]
        if faults:
            others.append(f"{product}: {faults[0]}")
    return ConvolutionReport(len(by_product) - len(others), len(by_product), tuple(others))


def _why(layer: Layer) -> str:
    if layer.kind == UNREPORTED:
        return "the builder reports no layer that computes it"
    types = " and ".join(dict.fromkeys(layer.inputs)) or "types that are not reported"
    if "int8" not in layer.inputs:
        # Even a layer that only copies, between the DequantizeLinear and the product, keeps the product in float.
        return (
            f"it takes {types}: no DequantizeLinear stands directly before it, or the library has no int8 kernel for it"
        )
    if "Cast" in layer.name:
        return f"it takes {types} and converts before it multiplies"
    return f"it takes {types}, and its weights are {' and '.join(dict.fromkeys(layer.constants))}"


def assign_products(layers: Sequence[Layer], products: Iterable[str]) -> tuple[Layer, ...]:
    """Note in each layer which of the graph's `products` (ONNX node names) it computes.

    A layer that only finishes a product (its bias, its scale) mentions the node too and is not counted. A product
    that no layer accounts for is added as an `unreported` layer, so that it cannot be overlooked.
    """
    computed: dict[int, list[str]] = {}
    missing = []
    for product in products:
        found = [index for index, layer in enumerate(layers) if layer.multiplies and product in layer.sources]
        for index in found:
            computed.setdefault(index, []).append(product)
        if not found:
            missing.append(Layer(product, UNREPORTED, sources=(product,), products=(product,)))
    noted = (replace(layer, products=tuple(computed.get(index, ()))) for index, layer in enumerate(layers))
    return (*noted, *missing)


def parse_layers(texts: Iterable[str]) -> tuple[Layer, ...]:
    """Read the one-line-per-layer report that TensorRT's inspector gives and that TensorRT for RTX writes into its log.

    Lines that are no layers are skipped; what a line does not say stays empty.
    """
    layers = []
    for line in (line.strip() for text in texts for line in text.splitlines()):
        kind = re.search(r", LayerType: (\w+)", line)
        if not line.startswith("Name: ") or not kind:
            continue
        name = line[len("Name: ") : kind.start()]
        sources = re.findall(r"\[ONNX Layer: ([^\]]*)\]", line) or name.split(" + ")
        inputs, outputs, constants = (_types(line, section) for section in ("Inputs", "Outputs", "Constants"))
        layers.append(Layer(name, kind.group(1), inputs, outputs, constants, tuple(sources)))
    return tuple(layers)


def _types(line: str, section: str) -> tuple[str, ...]:
    """The types of the tensors in a section: `Inputs: [ { Name: x, ..., Datatype: Int8, ... }, ... ]`."""
    begin = line.find(f", {section}: [")
    if begin < 0:
        return ()
    depth, text = 0, line[begin + len(section) + 4 :]
    for end, character in enumerate(text):
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth == 0:
            text = text[:end]
            break
    return tuple(_type(found) for found in re.findall(r"(?:Datatype|Format/Datatype): ([^,}]*)", text))


def _type(text: str) -> str:
    found = _TYPE.search(text)
    name = (found.group(1) if found else text).strip().lower()
    return _TYPES.get(name, name)
