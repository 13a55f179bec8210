"""A bundle from a run: the same bytes each time, and nothing of the machine in it."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.bundle import read_bundle
from edgead.cli.build_engine import build_engine_command
from edgead.cli.export import export_command
from edgead.data.layout import read_dataset, split_validation
from edgead.data.loading import load_images
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import DataError, ExportError
from edgead.export.package import Origin, make_bundle, score_range, thresholds_of
from edgead.export.verification.verifier import Answers
from edgead.training.run import load_model, origin, read_run


def test_exporting_twice_gives_the_same_bytes(run, fp32_bundle, tmp_path):
    export_command.main([str(run), "-o", str(tmp_path / "again.edgead")], standalone_mode=False)
    assert (tmp_path / "again.edgead").read_bytes() == fp32_bundle.read_bytes()


def test_nothing_of_the_machine_is_inside(run, parts, fp32_bundle):
    content = fp32_bundle.read_bytes()
    for trace in (str(run.parent), str(parts.parent), str(Path.home())):
        assert trace.encode() not in content

    def strings(value):
        if isinstance(value, dict):
            return [text for item in value.items() for part in item for text in strings(part)]
        return [text for item in value for text in strings(item)] if isinstance(value, (list, tuple)) else [str(value)]

    for text in strings(read_bundle(fp32_bundle).manifest.to_json()):
        assert not text.startswith(("/", "~", "\\")), text
        assert text not in (getpass.getuser(), socket.gethostname())


def test_thresholds_come_from_the_held_out_images(parts, fp32_bundle):
    bundle = read_bundle(fp32_bundle)
    held_out = split_validation(read_dataset(parts).train, 0.2, 0)[1]
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=8) as engine:
        scores = engine.infer(load_images(held_out, 64, 64))["score"]
    thresholds = bundle.manifest.variant("fp32").thresholds
    assert thresholds.image.value >= scores.max()
    low, high = bundle.manifest.variant("fp32").score_range
    assert low == pytest.approx(float(scores.min()), rel=1e-5)
    assert (low + high) / 2 == pytest.approx(thresholds.image.value, rel=1e-6)


def test_the_preview_is_a_small_picture(fp32_bundle):
    preview = cv2.imdecode(np.frombuffer(read_bundle(fp32_bundle).members["preview.png"], np.uint8), cv2.IMREAD_COLOR)
    assert preview.shape == (64, 64, 3)
    assert preview.std() > 5


def test_no_validation_images_are_refused(run):
    model, record = load_model(run), read_run(run)
    with pytest.raises(ExportError, match="no validation images"):
        make_bundle(model, Origin(**origin(record)), [], height=64, width=64)


def test_labelled_defects_give_the_reject_threshold(run, parts, fp32_bundle, tmp_path):
    path = tmp_path / "f1.edgead"
    export_command.main([str(run), "-o", str(path), "--labelled", str(parts)], standalone_mode=False)
    fitted, plain = (read_bundle(p).manifest.variant("fp32").thresholds for p in (path, fp32_bundle))
    assert fitted.image.method == "f1" and "labelled" in fitted.image.describe()
    assert fitted.image.value != plain.image.value
    build = [str(path), "--calib-data", str(parts), "--target", "openvino", "--labelled", str(parts)]
    build_engine_command.main(build, standalone_mode=False)
    assert read_bundle(path).manifest.variant("int8").thresholds.image.method == "f1"
    with pytest.raises(DataError, match="these are images of good parts"):
        export_command.main(
            [str(run), "-o", str(path), "--labelled", str(parts / "train" / "good")], standalone_mode=False
        )


def test_a_probability_is_shown_as_it_is():
    answers = Answers(np.float32([0.2, 0.45]), np.ones((2, 4, 4), np.float32))
    assert score_range(answers, thresholds_of(answers, "probability")) == (0.0, 1.0)
    low, high = score_range(answers, thresholds_of(answers, "tail"))
    assert low == pytest.approx(0.2, abs=1e-6) and high > low
