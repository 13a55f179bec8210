"""Both networks go into one graph with a free batch: ONNX Runtime computes the same."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from edgead.training.leanet.adn import AnomalyDetectionNetwork
from edgead.training.leanet.caan import build_caan


class Guided(nn.Module):
    """A classifier that attends at two points where its CAAN tells it to."""

    def __init__(self, network, caan, **options):
        super().__init__()
        self.adn = AnomalyDetectionNetwork(network, height=64, width=64, **options)
        self.caan = build_caan(caan)

    def forward(self, image, anomaly_map):
        features, logits = self.caan(anomaly_map)
        attention = {point: features[point - 1].mean(1, keepdim=True).sigmoid() for point in (1, 4)}
        return self.adn(image, attention), logits


@pytest.mark.parametrize(
    ("network", "caan", "self_attention"),
    [("resnet18", "mobilenet", "srm"), ("vgg16", "resnet", "simam")],
)
def test_onnx_runtime_computes_the_same(tmp_path, network, caan, self_attention):
    torch.manual_seed(0)
    model = Guided(network, caan, self_attention=self_attention)
    for module in model.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.normal_(module.weight)  # else nothing is seen of it
    model.eval()
    path, batch = tmp_path / "model.onnx", torch.export.Dim("batch")
    torch.onnx.export(
        model,
        (torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)),
        path,
        dynamo=True,
        opset_version=18,
        input_names=["image", "anomaly_map"],
        dynamic_shapes=({0: batch}, {0: batch}),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        light = torch.linspace(0.2, 1, count)[:, None, None, None]
        image, anomaly_map = light * torch.rand(count, 3, 64, 64), light * torch.rand(count, 1, 64, 64)
        found = session.run(None, {"image": image.numpy(), "anomaly_map": anomaly_map.numpy()})
        with torch.no_grad():
            expected = model(image, anomaly_map)
        assert len(found) == len(expected) == 2
        for theirs, mine in zip(found, expected, strict=True):
            assert theirs.shape == tuple(mine.shape)
            largest = np.abs(theirs).max()
            assert theirs.std() > 0.01 * largest or count == 1  # images differ by more than what is tolerated
            np.testing.assert_allclose(theirs, mine.numpy(), rtol=1e-3, atol=1e-3 * largest)
