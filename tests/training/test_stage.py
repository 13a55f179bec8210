"""A trained module as an engine and as a stage on addresses, and the pipeline around it with the real kernels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from edgead.bundle import read_bundle
from edgead.data.layout import read_dataset
from edgead.detector import Detector
from edgead.engines.base import Engine
from edgead.engines.stage import Stage
from edgead.pipeline.device import DevicePipeline
from edgead.pipeline.host import HostPipeline
from edgead.result import Verdict
from edgead.training.evaluate import predictor
from edgead.training.models import FAMILIES, build
from edgead.training.run import load_model
from edgead.training.stage import TorchStage


class Plain(Engine):
    """An engine that is no stage."""

    name = "plain"

    def __init__(self, engine):
        super().__init__(max_batch=engine.max_batch)
        self.engine = engine

    def _activate(self):
        self.engine.__enter__()
        self.size = self.engine.size

    def _deactivate(self):
        self.engine.__exit__(None, None, None)

    def _infer(self, image):
        return self.engine.infer(image)


class Late(TorchStage):
    """Runs when the stand-in's stream comes to it, as on a device."""

    def __init__(self, model, cuda):
        super().__init__(model, "cpu")
        self.cuda = cuda

    def enqueue(self, addresses, batch, stream):
        self.cuda.put(stream, lambda: super(Late, self).enqueue(dict(addresses), batch, stream))


@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_at_addresses_what_the_module_does(small, family):
    torch.manual_seed(0)
    model = build(family, small[family]).eval()
    options = model.options
    image = np.random.default_rng(0).integers(0, 256, (2, options.height, options.width, 3), np.uint8)
    expected = predictor(model)(image)
    with TorchStage(model, "cpu", max_batch=2) as stage:
        assert isinstance(stage, Stage) and stage.size == (options.height, options.width)
        assert set(stage.outputs) == set(model.outputs)
        outputs = {name: np.full((2, *shape), np.nan, np.float32) for name, shape in stage.outputs.items()}
        addresses = {"image": image.ctypes.data, **{name: array.ctypes.data for name, array in outputs.items()}}
        stage.enqueue(addresses, 2, 0)
        found = stage.infer(image)
    for name, values in expected.items():
        np.testing.assert_array_equal(outputs[name], values)
        np.testing.assert_array_equal(found[name], values)
    assert not any(np.isnan(array).any() for array in outputs.values())


@pytest.mark.parametrize("stand_in", ["at once", "needed"], indirect=True)
def test_real_photos_of_parts_get_the_cpus_verdicts_from_the_pipeline(stand_in, kernels, run, fp32_bundle, parts):
    bundle = read_bundle(fp32_bundle)
    seen = set()
    with (
        Detector(bundle, Plain(TorchStage(load_model(run), "cpu")), "fp32") as plain,
        Detector(bundle, Late(load_model(run), stand_in), "fp32") as detector,
    ):
        assert isinstance(plain._pipeline, HostPipeline) and isinstance(detector._pipeline, DevicePipeline)
        for sample in read_dataset(parts).test[::2]:
            image = cv2.imread(str(sample.path))
            expected, found = plain(image), detector(image)
            assert (found.verdict, found.raw_score, found.regions) == (
                expected.verdict,
                expected.raw_score,
                expected.regions,
            )
            np.testing.assert_array_equal(found.anomaly_map, expected.anomaly_map)
            seen.add((found.verdict, bool(found.regions)))
    assert (Verdict.REJECT, True) in seen and len(seen) > 1
