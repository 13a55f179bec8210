"""From a trained module to the detector graph: ONNX, opset 18, uint8 pixels in, map and score out."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch
from torch import nn

from edgead.errors import ExportError
from edgead.export.operators import DOMAIN, VERSION, attach_bodies, translations

OPSET = 18
INPUT, OUTPUTS = "image", ("anomaly_map", "score")


def to_graph(model: nn.Module, height: int, width: int, max_batch: int) -> bytes:
    """Export a detector module in eval mode: `forward(uint8 [N, H, W, 3]) -> (anomaly_map [N, H, W], score [N])`. What
    it gives besides is called as its `outputs` say; None is no output.

    The same weights give the same bytes: whatever the exporter notes of the machine (stack traces, paths) is removed.
    Raises ExportError where the module cannot be exported or breaks the contract.
    """
    model = model.eval()
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=max(max_batch, 2))
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Given(model),
                (example,),
                input_names=[INPUT],
                output_names=list(getattr(model, "outputs", OUTPUTS)),
                opset_version=OPSET,
                dynamic_shapes=({0: batch},),
                dynamo=True,
                custom_translation_table=translations(),
                verbose=False,
            )
    except Exception as error:
        raise ExportError(
            f"the model cannot be exported ({_reason(error)})", type(model).__name__, "see the error above"
        ) from error
    assert program is not None
    graph = program.model_proto
    attach_bodies(graph)
    _strip(graph)
    check_contract(graph, height, width)
    return bytes(graph.SerializeToString(deterministic=True))


class _Given(nn.Module):
    """A module without the outputs that are None, which the exporter does not take."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(output for output in self.model(image) if output is not None)


def check_contract(model: onnx.ModelProto, height: int, width: int) -> None:
    """Raise ExportError where a graph is not a detector graph: one uint8 image in, `anomaly_map` and `score` out, and
    operators of ONNX and `edgead` alone."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"the graph is not valid ONNX ({_reason(error)})", "export", "report it with the model"
        ) from error
    versions = {opset.domain: opset.version for opset in model.opset_import}
    foreign = versions.items() - {("", OPSET), (DOMAIN, VERSION)}
    if foreign:
        found = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in sorted(foreign))
        raise ExportError(f"the graph needs the operators {found}", "export", f"use those of ONNX {OPSET} or {DOMAIN}")
    wanted = {
        INPUT: (onnx.TensorProto.UINT8, [None, height, width, 3]),
        "anomaly_map": (onnx.TensorProto.FLOAT, [None, height, width]),
        "score": (onnx.TensorProto.FLOAT, [None]),
    }
    values = {value.name: value.type.tensor_type for value in (*model.graph.input, *model.graph.output)}
    for name, (kind, shape) in wanted.items():
        if name not in values:
            raise ExportError(f"the graph has no {name!r}", "export", "follow the detector contract")
        sides = [dim.dim_value if dim.HasField("dim_value") else None for dim in values[name].shape.dim]
        if values[name].elem_type != kind or sides != shape:
            found = f"{onnx.TensorProto.DataType.Name(values[name].elem_type)} {sides}"
            raise ExportError(f"{name!r} is {found} in the graph", "export", f"it has to be {shape} with a free batch")


def _strip(model: onnx.ModelProto) -> None:
    model.doc_string = ""
    model.producer_name, model.producer_version = "edgead", ""
    for holder in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.initializer,
        *model.functions,
        *(node for function in model.functions for node in function.node),
    ):
        del holder.metadata_props[:]
        holder.doc_string = ""
    del model.graph.value_info[:]  # shapes of weights only; whoever needs shapes infers them
    for function in model.functions:
        del function.value_info[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks of optional packages that a detector does not use."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _reason(error: BaseException) -> str:
    deepest = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    return str(deepest).strip().splitlines()[0][:300] if str(deepest).strip() else type(deepest).__name__
