"""LEA-Net on a hundred real leaves: the verdicts of PyTorch, of the exported graph, and of engines in fp32 and INT8."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.training.evaluate import predictor
from edgead.training.run import load_model
from tests.lenient import OPTIONS

pytestmark = pytest.mark.slow
SIZE = ["--height", "64", "--width", "64", "--unet-width", "16", "--unet-blocks", "1"]


@pytest.fixture(scope="module")
def leaves(real_images, tmp_path_factory):
    """100 healthy leaves to learn from and 40 mildewed ones; 50 and 50 others to judge."""
    source, root = real_images / "plantvillage_cherry", tmp_path_factory.mktemp("leaves")
    dataset = read_dataset(source)
    good = [sample for sample in dataset.test if not sample.anomalous]
    bad = [sample for sample in dataset.test if sample.anomalous]
    for folder, samples in {
        "data/train/good": dataset.train[::3],
        "data/test/good": good[:50],
        "data/test/mildew": bad[:50],
        "defects": bad[50:90],
    }.items():
        (root / folder).mkdir(parents=True)
        for sample in samples:
            shutil.copy(sample.path, root / folder / Path(sample.path).name)
    return root


def test_verdicts_are_the_same_everywhere(leaves, tmp_path, edgead):
    run, bundle = tmp_path / "run", tmp_path / "leaves.edgead"
    options = [*SIZE, "--color-epochs", 12, "--epochs", 8, "--seed", 0, "--threads", 1, "--points", "4"]
    train = ("train", "leanet", "--data", leaves / "data", "--defects", leaves / "defects", "-o", run, *options)
    edgead(*train)
    edgead("export", run, "-o", bundle)
    dataset = read_dataset(leaves / "data")
    assert len(dataset.test) == 100
    predict = predictor(load_model(run))
    images = load_images(dataset.test, 64, 64)
    trained = np.concatenate([predict(images[begin : begin + 20])["score"] for begin in range(0, 100, 20)])
    labels = np.array([sample.anomalous for sample in dataset.test])
    assert np.mean((trained >= 0.5) == labels) > 0.9, "a classifier that knows nothing has no verdicts to keep"
    changed = {}
    for precision in ("fp32", "int8"):
        build = ("build-engine", bundle, "--precision", precision, "--target", "openvino")
        report = json.loads(edgead(*build, "--calib-data", leaves / "data", *OPTIONS, "--json"))
        assert (report["int8_layers"] > 20) == (precision == "int8")
        measured = tmp_path / f"{precision}.json"
        judge = ("evaluate", bundle, "--data", leaves / "data", "--target", "openvino", "--precision", precision)
        edgead(*judge, "-o", measured)
        found = json.loads(measured.read_text())["images"]
        scores = np.array([image["score"] for image in found])
        assert [image["name"] for image in found] == [sample.name for sample in dataset.test]
        changed[precision] = np.flatnonzero((scores >= 0.5) != (trained >= 0.5))
        if precision == "fp32":
            np.testing.assert_allclose(scores, trained, atol=2e-4)
    assert changed["fp32"].size == 0
    # INT8 may move what stands on the threshold, and nothing else.
    assert (np.abs(trained[changed["int8"]] - 0.5) < 0.1).all(), [
        (dataset.test[i].name, trained[i]) for i in changed["int8"]
    ]
    assert changed["int8"].size <= 2
