"""Training: the same seed gives the same run, an interrupted one ends as if it had not been, and bad input ends before
work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgead.data.layout import read_dataset, split_validation
from edgead.errors import DataError, TrainingError
from edgead.training.data import EpochSampler
from edgead.training.fit import fit
from edgead.training.options import FitOptions
from edgead.training.run import load_model, read_run

MODEL = {"height": 32, "width": 32, "stages": 3, "base_width": 4}
OPTIONS = {"epochs": 6, "batch_size": 8, "threads": 1}


def train(parts: Path, folder: Path, **changes):
    model = {**MODEL, **changes.pop("model", {})}
    resume = changes.pop("resume", False)
    options = FitOptions(**{**OPTIONS, **changes})
    return fit(
        "lamp", read_dataset(parts).train, folder, root=parts, model_options=model, options=options, resume=resume
    )


def test_the_loss_falls_and_the_run_tells_it_all(run):
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]
    record = read_run(run)
    best = min(history, key=lambda epoch: epoch["validation_loss"])
    assert record.result["best_epoch"] == best["epoch"]
    assert record.data["train_images"] + record.data["validation_images"] == 24
    assert sorted(path.name for path in run.iterdir()) == ["history.jsonl", "model.safetensors", "run.json"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(parts, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(parts, tmp_path / name, seed=seed, epochs=2)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


@pytest.mark.parametrize("amplified", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("loss", ["l1", "l2", "ssim"])
def test_every_loss_trains_with_every_optimizer(parts, tmp_path, optimizer, loss, amplified):
    train(parts, tmp_path / "run", optimizer=optimizer, epochs=15, model={"loss": loss, "amplified": amplified})
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    # Held-out images, in the base loss: the amplified one is relative to its own maximum.
    assert history[-1]["validation_loss"] < 0.8 * history[0]["validation_loss"]


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from edgead.data.layout import read_dataset
from edgead.training import loop as module
from edgead.training.fit import fit
from edgead.training.options import FitOptions
kept = module.History.on_train_epoch_end
def stop_in_the_fourth_epoch(self, trainer, fitting):
    kept(self, trainer, fitting)
    if trainer.current_epoch == 3:
        os.kill(os.getpid(), signal.{signal})
module.History.on_train_epoch_end = stop_in_the_fourth_epoch
data = read_dataset(Path({parts!r}))
fit("lamp", data.train, Path({folder!r}), root=data.root, model_options={model}, options=FitOptions(**{options}))
"""


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_an_interrupted_run_resumes_to_the_same_result(parts, tmp_path, how):
    train(parts, tmp_path / "whole")
    broken = tmp_path / "broken"
    program = INTERRUPTED.format(signal=how, parts=str(parts), folder=str(broken), model=MODEL, options=OPTIONS)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    if how == "SIGINT":
        assert "run the same command with --resume" in ended.stderr
    assert not read_run(broken).result
    with pytest.raises(TrainingError, match="did not finish"):
        load_model(broken)
    train(parts, broken, resume=True)
    for name in ("model.safetensors", "history.jsonl", "run.json"):
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_finished_run_is_left_as_it_is(parts, tmp_path):
    train(parts, tmp_path / "run", epochs=1)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    train(parts, tmp_path / "run", epochs=1, resume=True)
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}


def test_resuming_other_work_is_refused(parts, tmp_path):
    train(parts, tmp_path / "run", epochs=1)
    with pytest.raises(TrainingError, match="other options or images"):
        train(parts, tmp_path / "run", epochs=2, resume=True)


def test_early_stopping_watches_validation_images(parts, tmp_path):
    train(parts, tmp_path / "run", epochs=50, patience=1, learning_rate=0.05)
    assert read_run(tmp_path / "run").result["epochs"] < 50


def test_validation_images_train_nothing(parts, tmp_path):
    """Exchanging the pixels of the validation images leaves the first epoch's training loss as it was."""
    import shutil

    other = tmp_path / "other" / "parts"
    shutil.copytree(parts, other)
    held_out = split_validation(read_dataset(parts).train, 0.2, 0)[1]
    source = (other / held_out[0].name).read_bytes()
    for sample in held_out:
        (other / sample.name).write_bytes(source)
    losses = []
    for name, root in (("a", parts), ("b", other)):
        train(root, tmp_path / name, epochs=2)
        history = (tmp_path / name / "history.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["train_loss"] for line in history])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "magic"}, "magic"),
        ({"epochs": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"learning_rate": -1.0}, "not positive"),
        ({"model": {"height": 33}}, "multiples"),
    ],
)
def test_impossible_options_end_before_anything_is_written(parts, tmp_path, change, message):
    with pytest.raises(TrainingError, match=message):
        train(parts, tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_a_diverging_loss_is_an_error_and_not_a_model(parts, tmp_path):
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train(parts, tmp_path / "run", optimizer="sgd", learning_rate=1e30)
    with pytest.raises(TrainingError, match="did not finish"):
        load_model(tmp_path / "run")


def test_a_corrupt_image_is_named_before_training_starts(parts, tmp_path):
    import shutil

    root = tmp_path / "parts"
    shutil.copytree(parts, root)
    (root / "train/good/003.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"003\.png"):
        train(root, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_another_runs_folder_is_not_overwritten(parts, tmp_path):
    train(parts, tmp_path / "run", epochs=1)
    with pytest.raises(TrainingError, match="not empty"):
        train(parts, tmp_path / "run", epochs=1)
    with pytest.raises(TrainingError, match="no run to resume"):
        train(parts, tmp_path / "nothing", resume=True)


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    sampler = EpochSampler(range(50), seed=1)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == list(range(50)) == sorted(orders[1])
    assert list(EpochSampler(range(50), seed=2)) != orders[0]


def test_weights_that_do_not_fit_are_refused(run, tmp_path):
    import shutil

    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    (broken / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-10])
    with pytest.raises(TrainingError, match=r"model\.safetensors"):
        load_model(broken)
    assert torch.isfinite(load_model(run)(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).score).all()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="no run folder"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(TrainingError, match="damaged"):
        read_run(tmp_path)
