"""The detector graph: its contract, its bytes, and what it must not carry."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgead.bundle import read_bundle
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import ExportError
from edgead.export.graph import check_contract, to_graph
from edgead.export.verification.parity import check_parity
from edgead.training.models import FAMILIES, build, family
from edgead.training.run import load_model


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def exported(request, small):
    torch.manual_seed(0)
    model = build(request.param, small[request.param]).eval()
    return model, to_graph(model, model.options.height, model.options.width, 4)


def images(model, count=3):
    shape = (count, model.options.height, model.options.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_every_family_keeps_the_contract(exported):
    model, graph = exported
    parsed = onnx.load_from_string(graph)
    check_contract(parsed, model.options.height, model.options.width)
    opsets = {opset.domain: opset.version for opset in parsed.opset_import}
    assert opsets == ({"": 18, "edgead": 1} if parsed.functions else {"": 18})
    assert [value.name for value in parsed.graph.input] == ["image"]
    assert [value.name for value in parsed.graph.output][:2] == ["anomaly_map", "score"]


def test_every_family_answers_in_onnx_as_in_torch(exported):
    model, graph = exported
    parity = check_parity(model, graph, images(model))
    assert parity.images == 3
    assert max(parity.anomaly_map, parity.score) < 1e-5


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_batch_runs(exported, count):
    model, graph = exported
    batch = images(model, count)
    with OnnxRuntimeEngine(graph, max_batch=4) as engine:
        together = engine.infer(batch)
        alone = [engine.infer(image[None])["score"][0] for image in batch]
    assert together["anomaly_map"].shape == batch.shape[:3]
    np.testing.assert_allclose(together["score"], alone, rtol=1e-5)


def test_the_same_weights_give_the_same_bytes_without_traces_of_the_machine(exported):
    model, graph = exported
    again = to_graph(model, model.options.height, model.options.width, 4)
    assert again == graph
    parsed = onnx.load_from_string(graph)
    for tensor in parsed.graph.initializer:
        tensor.ClearField("raw_data")  # any three bytes stand somewhere among millions of weights
    graph = parsed.SerializeToString()
    for trace in (b"stack_trace", b".py", b"/home", b"site-packages", b"pkg.torch"):
        assert trace not in graph


def test_training_leaves_nothing_in_the_graph(fp32_bundle):
    """The amplifier is a logarithm; batch norm is folded into the convolutions."""
    kinds = {node.op_type for node in onnx.load_from_string(read_bundle(fp32_bundle).graph("fp32")).graph.node}
    assert not kinds & {"Log", "BatchNormalization", "Dropout", "RandomNormalLike"}


def test_a_graph_that_differs_is_refused(run, fp32_bundle):
    model, graph = load_model(run), read_bundle(fp32_bundle).graph("fp32")
    check_parity(model, graph, images(model))
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    with pytest.raises(ExportError, match="differs from the model's by"):
        check_parity(model, graph, images(model))


class Wrong(nn.Module):
    """A module that answers `map_shape` and `score_shape` whatever it sees."""

    def __init__(self, flatten: bool) -> None:
        super().__init__()
        self.flatten = flatten

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = image.float().mean(dim=3)
        return (pixels.flatten(1), pixels.amax(dim=(1, 2))) if self.flatten else (pixels, pixels)


@pytest.mark.parametrize("flatten", [True, False])
def test_a_module_that_breaks_the_contract_is_refused(flatten):
    with pytest.raises(ExportError, match=r"anomaly_map|score"):
        to_graph(Wrong(flatten), 8, 8, 2)


def test_a_module_that_cannot_be_exported_says_why():
    class Failing(nn.Module):
        def forward(self, image):
            raise RuntimeError("this layer has no export")

    with pytest.raises(ExportError, match="this layer has no export"):
        to_graph(Failing(), 8, 8, 2)


def test_every_family_has_small_options(small):
    assert set(small) == set(FAMILIES)
    for name, options in small.items():
        assert family(name).Options(**options)
