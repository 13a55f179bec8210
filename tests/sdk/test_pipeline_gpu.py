"""The pipeline on a real GPU, around torch in place of TensorRT: the verdicts of the CPU, also as a stream."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from edgead import gpu
from edgead.bundle import read_bundle
from edgead.data.layout import read_dataset
from edgead.detector import Detector
from edgead.kernels import preprocess
from edgead.pipeline.device import DevicePipeline
from edgead.streaming import Stream
from edgead.training.models import build
from edgead.training.run import load_model
from edgead.training.stage import TorchStage

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _device():
    """There is one, and its convolutions are in float32 as it is, as on the CPU."""
    if why := gpu.unavailable():
        pytest.skip(why)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


@pytest.fixture
def detector(run, fp32_bundle):
    with Detector(read_bundle(fp32_bundle), TorchStage(load_model(run), "cuda"), "fp32", overlay=True) as detector:
        assert isinstance(detector._pipeline, DevicePipeline)
        yield detector


@pytest.fixture
def on_cpu(run, fp32_bundle, monkeypatch):
    monkeypatch.setattr("edgead.pipeline.unavailable", lambda height, width: "not here")
    with Detector(read_bundle(fp32_bundle), TorchStage(load_model(run), "cpu"), "fp32") as detector:
        yield detector


def assert_close(found, expected):
    assert found.raw_score == pytest.approx(expected.raw_score, rel=1e-3)
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, rtol=1e-2, atol=1e-5)
    if abs(expected.pred_score - 0.5) > 0.01:
        assert found.pred_label == expected.pred_label


def test_photos_get_the_verdicts_of_the_cpu(detector, on_cpu, parts):
    for sample in read_dataset(parts).test:
        image = cv2.imread(str(sample.path))
        found = detector(image)
        assert_close(found, on_cpu(image))
        assert found.overlay.shape == image.shape


def test_a_stream_gets_them_as_well(detector, on_cpu, parts):
    with Stream(detector, str(parts / "test"), policy="every") as run:
        results = list(run)
    assert len(results) == len(read_dataset(parts).test)
    for result in results:
        assert_close(result, on_cpu(cv2.imread(result.source)))


@pytest.mark.parametrize("family", ["lamp", "uniad"])
@pytest.mark.parametrize("shape", [(1080, 1920, 3), (480, 640), (37, 53, 3)])
def test_the_graph_sees_the_input_of_the_cpu(small, family, shape):
    """Map and score of a large frame are those of torch on the frame that the CPU has resized."""
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    stage = TorchStage(build(family, small[family]), "cuda")
    with stage:
        resized = preprocess(image, *stage.size, layout="bgr" if len(shape) == 3 else "gray")
        expected = stage.infer(resized[None])
        pipeline = DevicePipeline(stage, 0.5, maps=True)
        try:
            for _ in range(20):
                answer = pipeline.infer(pipeline.prepare(image))
                np.testing.assert_allclose(answer.anomaly_map, expected["anomaly_map"][0], rtol=1e-4, atol=1e-6)
                assert answer.score == pytest.approx(float(expected["score"][0]), rel=1e-4)
        finally:
            pipeline.close()
