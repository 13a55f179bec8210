"""`edgead landscape`: what it writes, and how it refuses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from edgead.cli.main import main
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.training.fit import fit
from edgead.training.options import FitOptions
from edgead.training.run import load_model


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["landscape", *map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def plain(parts, tmp_path_factory):
    """A LAMP trained without its amplification, like `run` otherwise, and for less long."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    model = {"height": 64, "width": 64, "stages": 4, "base_width": 8, "map_window": 5, "amplified": False}
    fit("lamp", read_dataset(parts).train, folder, model_options=model, options=FitOptions(2, 8, threads=1))
    return folder


def test_the_command_draws_every_run_on_one_scale(capsys, run, plain, parts, tmp_path):
    small = ("--data", parts, "--side", 5, "--pairs", 2, "--images", 4, "--seed", 3)
    code, out, err = call(capsys, run, plain, *small, "-o", tmp_path / "one")
    assert code == 0, err
    assert "amplified L2" in out and f"report  {tmp_path / 'one/landscape.html'}" in out
    names = {f"{kind}-{name}.svg" for kind in ("contour", "surface") for name in ("parts", "plain")}
    assert {path.name for path in (tmp_path / "one").iterdir()} == names | {"landscape.html", "landscape.json"}
    for name in names:
        ElementTree.parse(tmp_path / "one" / name)
    document = json.loads((tmp_path / "one/landscape.json").read_text())
    assert [
        (entry["name"], entry["trained_with"], entry["kind"], entry["batch_size"]) for entry in document["runs"]
    ] == [
        ("parts", "amplified L2", "L2", 8),
        ("plain", "L2", "L2", 8),
    ]
    html = (tmp_path / "one/landscape.html").read_text()
    assert html.count('class="isoline"') > 4 and html.count("<svg") == 4 and "different kinds" not in html

    code, again, err = call(capsys, run, plain, *small, "-o", tmp_path / "two", "--json")
    assert code == 0, err
    assert json.loads(again) == document
    for path in (tmp_path / "one").iterdir():  # the same seed gives the same bytes
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_command_measures_on_good_test_images(capsys, run, parts, tmp_path):
    code, out, err = call(capsys, run, "--data", parts, "-o", tmp_path, "--side", 3, "--pairs", 1, "--json")
    assert code == 0, err
    document, model = json.loads(out), load_model(run)
    good = [sample for sample in read_dataset(parts).test if not sample.anomalous]
    with torch.no_grad():
        expected = float(model.validation_loss(torch.from_numpy(load_images(good, 64, 64))))
    assert document["images"] == len(good) == 8
    assert document["runs"][0]["centre"] == pytest.approx(expected, rel=1e-5)


def test_own_losses_of_two_kinds_are_said_to_differ(capsys, run, plain, parts, tmp_path):
    words = ("--side", 3, "--pairs", 1, "--loss", "own", "--images", 2)
    code, _, err = call(capsys, run, plain, "--data", parts, "-o", tmp_path, *words)
    assert code == 0, err
    assert "different kinds" in (tmp_path / "landscape.html").read_text()


def test_classes_of_an_array_file(capsys, run, tmp_path):
    random = np.random.default_rng(0)
    arrays = {"train_images": (6, 8, 8), "test_images": (6, 8, 8)}
    data = {name: random.integers(0, 256, shape, np.uint8) for name, shape in arrays.items()}
    np.savez(tmp_path / "d.npz", **data, train_labels=np.array([0, 1] * 3), test_labels=np.array([0, 1, 1] * 2))
    small = ("--data", tmp_path / "d.npz", "--side", 3, "--pairs", 1, "-o", tmp_path / "out")
    code, out, err = call(capsys, run, *small, "--normal", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["images"] == 2
    code, _, err = call(capsys, run, *small)
    assert code == 1 and "--normal" in err and err.count("\n") == 1


def test_without_good_test_images_those_held_out_are_taken(capsys, run, parts, tmp_path):
    small = ("--data", parts / "train/good", "--side", 3, "--pairs", 1, "-o", tmp_path / "out", "--json")
    code, out, err = call(capsys, run, *small)
    assert code == 0, err
    assert json.loads(out)["images"] == 5  # a fifth of 24


def test_what_cannot_be_drawn_is_one_line(capsys, run, parts, tmp_path):
    output = tmp_path / "out"
    for arguments, words in (
        ([tmp_path / "none"], "run"),
        ([run, "--side", "4"], "odd"),
        ([run, "--extent", "-1"], "extent"),
    ):
        code, out, err = call(capsys, *arguments, "--data", parts, "-o", output)
        assert code == 1 and out == "" and err.startswith("error: ") and err.count("\n") == 1 and words in err, err
        assert not output.exists()
    assert call(capsys, "--data", parts, "-o", output)[0] == 2
