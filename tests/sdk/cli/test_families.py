"""Every registered detector goes the whole way through the command line: train, evaluate, export, build, stream."""

from __future__ import annotations

import json

import pytest

from edgead.bundle import read_bundle
from edgead.cli.main import main
from edgead.training.models import FAMILIES, family
from tests.lenient import OPTIONS


def as_options(options):
    """--name value for each."""
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_from_photos_to_verdicts(name, edgead, parts, small, tmp_path):
    run, bundle = tmp_path / "run", tmp_path / "part.edgead"
    options = [*as_options(small[name]), "--epochs", 2, "--batch-size", 8, "--threads", 1]
    kind = family(name)
    options += ["--weights", "none"] if kind.frozen_features and not kind.founded_on else []
    options += ["--defects", parts] if name == "leanet" else []
    trained = json.loads(edgead("train", name, "--data", parts, "-o", run, *options, "--json"))
    assert trained["result"]["epochs"] == 2
    assert "AUROC" in edgead("evaluate", run, "--data", parts)
    edgead("export", run, "-o", bundle)
    mixed = ("mixed",) if name in ("lamp", "uniad") else ()  # it tries every layer, and one of each kind is enough
    for precision in ("fp16", "int8", *mixed):
        build = ("build-engine", bundle, "--precision", precision, "--calib-data", parts, "--target", "openvino")
        built = json.loads(edgead(*build, *OPTIONS, "--json"))
        assert built["verification"]["images"] == 16
        assert (built["int8_layers"] > 0) == (precision in ("int8", "mixed"))
    assert read_bundle(bundle).manifest.family == name
    if mixed:
        verified = json.loads(edgead("verify", bundle, "--data", parts, *OPTIONS, "--json"))
        assert verified["sides"]["judged"]["precision"] == "mixed"
        assert bool(verified["levels"]) == (name == "uniad")
        assert all(level["error"] > 0 for level in verified["levels"])
    results = tmp_path / "results.jsonl"
    stream = ("stream", bundle, "--camera", f"{parts}/test/spot/*.png", "--save", results)
    streamed = json.loads(edgead(*stream, "--json"))
    assert streamed["judged"] == 8
    assert len([line for line in results.read_text().splitlines() if '"verdict"' in line]) == 8


def test_another_score_needs_no_other_training(edgead, parts, small, tmp_path):
    run = tmp_path / "run"
    options = [*as_options(small["uniad"]), "--epochs", 1, "--threads", 1, "--weights", "none"]
    edgead("train", "uniad", "--data", parts, "-o", run, *options)
    for score in ("max", "mean"):
        bundle = tmp_path / f"{score}.edgead"
        edgead("export", run, "-o", bundle, "--score", score)
        assert read_bundle(bundle).manifest.options["score"] == score
    images = []
    for score in ("max", "mean"):
        scores = tmp_path / f"{score}.json"
        edgead("evaluate", run, "--data", parts, "--score", score, "-o", scores)
        images.append(json.loads(scores.read_text())["images"])
    for worst, mean in zip(*images, strict=True):
        assert worst["peak"] == mean["peak"] >= worst["score"] > mean["score"]


def test_defects_are_learnt_from_through_the_command_line(edgead, parts, small, tmp_path):
    options = [*as_options(small["adtr-plus"]), "--epochs", 1, "--threads", 1, "--weights", "none"]
    train = ("train", "adtr-plus", "--data", parts, "--defects", parts, "-o", tmp_path / "run", *options, "--json")
    assert json.loads(edgead(*train))["data"]["defects"] == 8


def test_a_folder_of_nothing_but_bad_parts_is_defects(edgead, parts, small, tmp_path):
    options = [*as_options(small["adtr-plus"]), "--epochs", 1, "--threads", 1, "--weights", "none"]
    train = ("train", "adtr-plus", "--data", parts, "--defects", parts / "test" / "spot", "-o", tmp_path / "run")
    assert json.loads(edgead(*train, *options, "--json"))["data"]["defects"] == 8


def test_a_classifier_asks_for_bad_parts(capsys, parts, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["train", "leanet", "--data", str(parts), "-o", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert "--defects" in capsys.readouterr().err
