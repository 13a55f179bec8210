"""Curves over training: the right points, kept when training stops, and training that does not notice."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys

import pytest
import torch

from edgead.data.layout import read_dataset
from edgead.errors import TrainingError
from edgead.evaluation.evaluate import evaluate
from edgead.experiments.cells.curves import Point, Watch, mean_of
from edgead.training.evaluate import predictor
from edgead.training.fit import fit, fit_options
from edgead.training.run import load_model

MODEL = {
    "backbone": "mobilenet_v3_small", "height": 64, "width": 64, "feature_height": 4, "feature_width": 4,
    "hidden": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 32,
    "neighbor_height": 3, "neighbor_width": 3,
}  # fmt: skip


def train(two, folder, after_epoch=None, **changes):
    options = fit_options("uniad", **{"epochs": 3, "batch_size": 4, "threads": 1, **changes})
    dataset = read_dataset(two)
    return fit("uniad", dataset.train, folder, model_options=MODEL, options=options, after_epoch=after_epoch)


def test_training_is_the_same_when_somebody_looks(two, tmp_path):
    """Dropout and jitter draw random numbers; so does the one who looks, in eval mode, without gradients."""
    seen = []

    def look(epoch, model):
        seen.append(epoch)
        assert not model.training and not any(part.training for part in model.modules())
        assert not torch.is_grad_enabled()
        torch.manual_seed(99)
        torch.rand(7)
        model.answer(torch.randn(2, 16, model.extractor.channels))

    train(two, tmp_path / "alone")
    train(two, tmp_path / "watched", look)
    assert seen == [0, 1, 2]
    for name in ("model.safetensors", "history.jsonl", "run.json"):
        assert (tmp_path / "watched" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


def test_training_goes_on_in_train_mode(two, tmp_path):
    modes = []

    def look(epoch, model):
        if epoch == 0:
            model.disturb = lambda tokens: (modes.append(model.training), tokens)[1]

    train(two, tmp_path / "run", look, epochs=2)
    assert modes == [True] * 4 + [False]  # the second epoch: 14 images, 4 at a time, and the validation


def test_the_last_point_is_that_of_the_finished_model(two, tmp_path):
    dataset = read_dataset(two)
    options = fit_options("uniad", epochs=3, batch_size=4, threads=1, keep="last", features="disk")
    watch = Watch(tmp_path / "curve.json", dataset.test, options, 2)
    fit("uniad", dataset.train, tmp_path / "run", model_options=MODEL, options=options, after_epoch=watch)
    points = watch.points(tmp_path / "run" / "history.jsonl")
    assert [point.epoch for point in points] == [1, 2, 3]
    model = load_model(tmp_path / "run")
    found = evaluate(predictor(model), dataset.test, 64, 64).mean
    assert points[-1].image_auroc == pytest.approx(found.image_auroc, abs=1e-12)
    assert points[-1].pixel_auroc == pytest.approx(found.pixel_auroc, abs=1e-6)
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [point.loss for point in points] == [epoch["train_loss"] for epoch in history]


def test_a_figure_has_a_point_for_the_first_epoch_every_so_many_and_the_last(drawn):
    figure, output = drawn
    assert [curve.name for curve in figure.curves] == ["mlp", "cnn", "transformer", "mlp-separate"]
    for curve in figure.curves:
        assert [point.epoch for point in curve.points] == [1, 2, 4, 5]
        for point in curve.points:
            assert 0 <= point.image_auroc <= 1 and 0 <= point.pixel_auroc <= 1 and math.isfinite(point.loss)
    assert [curve.models for curve in figure.curves] == [1, 1, 1, 2]
    assert figure.lacking and "Cable" in figure.lacking and "Screw" not in figure.lacking
    assert json.loads((output / "curves.json").read_text()) == json.loads(json.dumps(figure.to_json()))


def test_the_curve_of_separate_models_is_their_mean(drawn):
    figure, output = drawn
    curves = [
        json.loads((output / f"mlp-separate-{name}-seed0" / "curve.json").read_text())["points"]
        for name in ("bottle", "screw")
    ]
    for point, one, other in zip(figure.curves[3].points, *curves, strict=True):
        assert point.image_auroc == pytest.approx((one["image_auroc"] + other["image_auroc"]) / 2)


def test_a_finished_figure_is_drawn_again_from_its_points(drawn, two, perform, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(drawn[1], output)
    before = {path: path.stat().st_mtime_ns for path in output.glob("*/**/*") if path.is_file()}
    assert perform("shortcut", two, output, epochs=5, every=2).to_json() == drawn[0].to_json()
    assert before == {path: path.stat().st_mtime_ns for path in output.glob("*/**/*") if path.is_file()}


def test_points_at_other_epochs_or_of_other_images_are_refused(drawn, two, perform, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(drawn[1], output)
    with pytest.raises(TrainingError, match=r"other options or images \(every\)"):
        perform("shortcut", two, output, epochs=5, every=3)
    with pytest.raises(TrainingError, match=r"other options or images \(data.sha256, data.test\)"):
        perform("shortcut", two, output, epochs=5, every=2, test=8)
    for path in output.glob("*/result.json"):
        path.unlink()
    with pytest.raises(TrainingError, match="other epochs or on other test images"):
        perform("shortcut", two, output, epochs=5, every=3)
    with pytest.raises(TrainingError, match="other epochs or on other test images"):
        perform("shortcut", two, output, epochs=5, every=2, test=8)
    (output / "mlp-seed0" / "curve.json").unlink()
    with pytest.raises(TrainingError, match="not measured while it trained"):
        perform("shortcut", two, output, epochs=5, every=2)
    (output / "mlp-seed0" / "curve.json").write_text("[]")
    with pytest.raises(TrainingError, match="damaged"):
        perform("shortcut", two, output, epochs=5, every=2)


STOPPED = """
import os, signal
from pathlib import Path
from edgead.experiments.cells import curves
kept = curves.Watch.__call__
def stop(self, epoch, model):
    kept(self, epoch, model)
    if epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)
curves.Watch.__call__ = stop
from edgead.cli.main import main
main({arguments})
"""


def test_a_curve_that_was_cut_off_goes_on(drawn, two, perform, work, without_times, tmp_path):
    """Killed after the fourth epoch was measured and before it was kept: that epoch is trained and measured again."""
    output = tmp_path / "out"
    sets = [word for pair in work().overrides.changes.items() for word in ("--set", "=".join(pair))]
    arguments = ["experiment", "shortcut", "--data", str(two), "-o", str(output), "--backbone", "mobilenet_v3_small"]
    arguments += ["--weights", "none", "--epochs", "5", "--every", "2", *sets]
    ended = subprocess.run([sys.executable, "-c", STOPPED.format(arguments=arguments)], timeout=120, check=False)
    assert ended.returncode == -9
    points = json.loads((output / "mlp-seed0" / "curve.json").read_text())["points"]
    assert [point["epoch"] for point in points] == [1, 2, 4]
    assert not (output / "curves.json").exists()
    again = perform("shortcut", two, output, epochs=5, every=2)
    assert without_times(again) == without_times(drawn[0])
    assert [record.training is None for record in again.records] == [True, False, False, False, False]


def test_a_mean_leaves_out_what_was_not_measured():
    nan = math.nan
    first = [Point(1, 2.0, 0.5, nan), Point(2, 1.0, 0.75, nan)]
    second = [Point(1, 4.0, 1.0, 0.5), Point(3, 1.0, 1.0, 0.5)]
    assert mean_of([first, second]) == [Point(1, 3.0, 0.75, 0.5)]
