"""What is read out of a builder's report: lines as TensorRT for RTX 1.7 and the inspector of TensorRT 10 write them."""

from __future__ import annotations

import pytest

from edgead.export.layers import Layer, assign_products, convolution_report, parse_layers


def rtx(name, kind, inputs, constants=(), outputs=("Float",), nodes=()):
    """A line of TensorRT for RTX."""

    def tensors(types):
        shape = "Dimensions: [-1,32,16,16], Strides: [8192,1,512,32], StrideOrder: [3,0,2,1]"
        form = "Format: (NHWC) Channel major format"
        return "[" + ", ".join(f" {{ Name: t{i}, {shape}, Datatype: {t}, {form} }}" for i, t in enumerate(types)) + "]"

    metadata = "".join(f"[ONNX Layer: {node}]" for node in nodes)
    return (
        f"Name: {name}, LayerType: {kind}, Inputs: {tensors(inputs)}, Constants: {tensors(constants)}, "
        f"Outputs: {tensors(outputs)}, TacticName: __myelin_CASK_STUB, StreamId: 0, Metadata: {metadata}"
    )


INT8 = rtx(
    "node_Conv_1_myl0_2", "correlation", ["Int8"], ["Int8", "Float"], nodes=["node_Conv_1", "x_DequantizeLinear"]
)
SCALE = rtx("__myl_MulAddMulMax_myl0_3", "kgen", ["Float"], ["Float"], ["Int8"], ["node_Conv_1", "leaky_relu"])
FLOAT = rtx("node_Conv_2_myl0_4", "correlation", ["Float", "Float"], ["Float"], nodes=["node_Conv_2"])
FUSED = rtx("__myl_CorrMulMax_myl0_5", "runtime_fusion", ["Half"], ["Half"], ["Half"], ["relu", "node_Conv_3"])
CONVERTED = rtx("__myl_CastMulFc_myl0_6", "runtime_fusion", ["Int8", "Float"], nodes=["node_MatMul_4"])
AFTERWARDS = rtx("__myl_CorrCastSigm_myl0_7", "runtime_fusion", ["Int8"], ["Int8"], nodes=["node_Conv_5"])
ATTENTION = rtx("_gemm_mha_v2_myl0_8", "kgen", ["Int8"] * 3, outputs=["Int8"], nodes=["node_matmul", "node_matmul_1"])
# TensorRT 10, from its documentation of the inspector: the type and the layout are one field.
TEN = (
    "Name: conv_1 + leaky_relu, LayerType: CaskConvolution, Inputs: [ { Name: input, Location: Device, "
    "Dimensions: [1,3,224,224], Format/Datatype: Thirty-two wide channel vectorized row major Int8 format }], "
    "Outputs: [ { Name: (Unnamed Layer* 2) [Activation]_output, Location: Device, Dimensions: [1,16,224,224], "
    "Format/Datatype: Channel major FP16 format where channel % 8 == 0 }], ParameterType: Convolution, "
    'Weights: {"Type": "Int8", "Count": 432}, TacticName: sm80_xmma_fprop'
)


def only(line):
    (layer,) = parse_layers([line])
    return layer


def test_a_line_is_read_whole():
    layer = only(FUSED)
    assert layer == Layer(
        "__myl_CorrMulMax_myl0_5", "runtime_fusion", ("fp16",), ("fp16",), ("fp16",), ("relu", "node_Conv_3")
    )


def test_the_inspector_of_tensorrt_10_is_read_too():
    layer = only(TEN)
    assert (layer.kind, layer.inputs, layer.outputs) == ("CaskConvolution", ("int8",), ("fp16",))
    assert layer.sources == ("conv_1", "leaky_relu")
    assert layer.multiplies
    assert layer.int8


@pytest.mark.parametrize(
    ("line", "multiplies", "int8"),
    [
        (INT8, True, True),
        (SCALE, False, False),
        (FLOAT, True, False),
        (FUSED, True, False),
        (CONVERTED, True, False),
        (AFTERWARDS, True, True),
        (ATTENTION, True, True),
    ],
)
def test_which_layers_multiply_and_in_int8(line, multiplies, int8):
    layer = only(line)
    assert layer.multiplies == multiplies
    assert (layer.multiplies and layer.int8) == int8


@pytest.mark.parametrize("kind", ["Float", "Half", "Int8", "UInt8", "BFloat16", "Int64", "Bool", "FP8"])
def test_types_have_one_name_each(kind):
    names = {"Float": "fp32", "Half": "fp16", "BFloat16": "bf16"}
    assert only(rtx("x", "kgen", [kind])).inputs == (names.get(kind, kind.lower()),)


def test_an_unknown_type_is_passed_on():
    assert only(rtx("x", "kgen", ["Posit16"])).inputs == ("posit16",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Layers:",
        "Name: ",
        "Name: x, LayerTy",
        "Engine Layer Information:\nLayer(Cask): x",
        "[\\[]",
        "LayerType: kgen",
    ],
)
def test_what_is_no_layer_is_skipped(text):
    assert parse_layers([text]) == ()


@pytest.mark.parametrize("length", [30, 45, 80, 150, 250])
def test_a_line_cut_off_loses_no_more_than_its_rest(length):
    layer = only(INT8[: max(length, INT8.index("correlation") + 11)])
    assert layer.name == "node_Conv_1_myl0_2"
    assert layer.inputs in ((), ("int8",))


def test_the_report_counts_and_names():
    names = [
        "node_Conv_1",
        "node_Conv_2",
        "node_Conv_3",
        "node_MatMul_4",
        "node_Conv_5",
        "node_matmul",
        "node_matmul_1",
    ]
    lines = "\n".join(["Layers:", INT8, SCALE, FLOAT, FUSED, CONVERTED, AFTERWARDS, ATTENTION])
    layers = assign_products(parse_layers(["noise", lines]), [*names, "node_Conv_6"])
    report = convolution_report(layers)
    assert (report.int8, report.total) == (4, 8)
    assert [other.split(":")[0] for other in report.others] == [
        "node_Conv_2",
        "node_Conv_3",
        "node_MatMul_4",
        "node_Conv_6",
    ]
    reasons = dict(other.split(": ", 1) for other in report.others)
    assert reasons["node_Conv_2"].startswith("it takes fp32: no DequantizeLinear stands directly before it")
    assert reasons["node_Conv_3"].startswith("it takes fp16")
    assert reasons["node_MatMul_4"] == "it takes int8 and fp32 and converts before it multiplies"
    assert reasons["node_Conv_6"] == "the builder reports no layer that computes it"
    assert str(report).splitlines()[0] == "4 of 8 convolutions and matrix products run in INT8"


def test_weights_left_in_float_are_named():
    layer = rtx("c_myl0_1", "correlation", ["Int8"], ["Float"], nodes=["c"])
    report = convolution_report(assign_products(parse_layers([layer]), ["c"]))
    assert report.others == ("c: it takes int8, and its weights are fp32",)


def test_a_product_split_over_layers_counts_when_all_run_in_int8():
    slow = rtx("node_Conv_1_myl0_9", "correlation", ["Float"], ["Float"], nodes=["node_Conv_1"])
    whole = convolution_report(assign_products(parse_layers([INT8, INT8]), ["node_Conv_1"]))
    mixed = convolution_report(assign_products(parse_layers([INT8, slow]), ["node_Conv_1"]))
    assert (whole.int8, whole.total, mixed.int8, mixed.total) == (1, 1, 0, 1)


def test_a_plan_without_products_reports_none():
    report = convolution_report(assign_products(parse_layers([SCALE]), []))
    assert (report.int8, report.total, report.others) == (0, 0, ())
