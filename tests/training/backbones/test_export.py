"""A frozen backbone goes into a detector graph: ONNX Runtime computes the same features."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from edgead.training.backbones import build_backbone


@pytest.mark.parametrize(
    ("name", "taps"),
    [
        ("mobilenet_v2", None),
        ("mobilenet_v3_small", ["features.1", "features.4"]),
        ("efficientnet_b4_same", ["features.1", "features.2"]),
    ],
)
def test_onnx_runtime_computes_the_same_features(tmp_path, name, taps):
    torch.manual_seed(0)
    backbone = build_backbone(name, taps).train()
    image = torch.randn(2, 3, 64, 64)
    path = tmp_path / "backbone.onnx"
    torch.onnx.export(backbone, (image,), path, dynamo=True, opset_version=18, input_names=["image"], verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected = backbone(image)
    assert len(found) == len(expected) == len(backbone.taps)
    for theirs, mine in zip(found, expected, strict=True):
        assert theirs.std() > 1e-3
        np.testing.assert_allclose(theirs, mine.numpy(), rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_a_trainable_backbone_in_eval_mode_can_be_exported():
    backbone = build_backbone("efficientnet_b0", ["features.2"], trainable=True).eval()
    image = torch.randn(1, 3, 32, 32)
    program = torch.export.export(backbone, (image,))
    torch.testing.assert_close(program.module()(image)[0], backbone(image)[0])
