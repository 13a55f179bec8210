"""edgead bench through the command line, on real bundles."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from edgead.bundle import read_bundle

SHORT = ("--target", "openvino", "--frames", 10, "--rounds", 2)


@pytest.fixture(scope="module")
def two_precisions(fp32_bundle, tmp_path_factory):
    """A bundle whose int8 graph is its fp32 graph: what is measured does not matter here."""
    bundle = read_bundle(fp32_bundle)
    member = {"model.int8.onnx": bundle.graph("fp32")}
    variant = replace(bundle.manifest.variant("fp32"), member="model.int8.onnx")
    path = tmp_path_factory.mktemp("bench") / "two.edgead"
    bundle.with_variant("int8", variant, member).write(path)
    return path


@pytest.fixture(scope="module")
def small_batches(fp32_bundle, tmp_path_factory):
    """A bundle whose graph takes two images at most."""
    bundle = read_bundle(fp32_bundle)
    path = tmp_path_factory.mktemp("bench") / "small.edgead"
    replace(bundle, manifest=replace(bundle.manifest, max_batch=2)).write(path)
    return path


def refused(capsys, *arguments):
    from edgead.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    return ended.value.code, captured.err


def test_engine_and_pipeline_of_one_bundle(edgead, fp32_bundle):
    measured = json.loads(edgead("bench", fp32_bundle, *SHORT, "--json"))
    (engine,) = measured["engines"]
    assert (engine["bundle"], engine["precision"], engine["target"]) == ("parts.edgead", "fp32", "openvino")
    assert list(engine["batches"]) == ["1", "2", "4", "8"]
    for figures in engine["batches"].values():
        assert 0 < figures["p50"] <= figures["p95"] <= figures["p99"] and figures["calls"] == 20
    piped = engine["pipeline"]
    assert len(piped["engine_frames_per_second"]) == len(piped["pipeline_frames_per_second"]) == 2
    assert piped["pipeline_share_of_engine"] > 0
    assert piped["pipeline"]["judged"] == 10 and piped["pipeline"]["source"] == "a rendered video"
    text = edgead("bench", fp32_bundle, *SHORT, "--source", "synthetic://?size=64")
    assert "keeps" in text and "10 frames judged" in text and "load" in text


def test_precisions_and_bundles_in_one_run(edgead, two_precisions, small_batches, tmp_path):
    output, plot = tmp_path / "new/results.json", tmp_path / "bench.svg"
    bench = ("bench", two_precisions, *SHORT, "--no-pipeline", "-o", output, "--plot", plot)
    text = edgead(*bench, "--precision", "int8", "--precision", "fp32", "--batch", 3)
    document = json.loads(output.read_text())
    assert [engine["precision"] for engine in document["engines"]] == ["int8", "fp32"]
    assert [list(engine["batches"]) for engine in document["engines"]] == [["1", "3"]] * 2
    assert document["engines"][0]["pipeline"] is None and document["machine"]["cores"] >= 1
    assert "two.edgead int8 openvino" in text and "pipeline" not in text
    assert ElementTree.parse(plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"

    both = ("bench", two_precisions, small_batches, *SHORT, "--no-pipeline", "--json")
    document = json.loads(edgead(*both, "-o", output))
    assert [(one["bundle"], list(one["batches"])) for one in document["engines"]] == [
        ("two.edgead", ["1", "2", "4", "8"]),
        ("small.edgead", ["1", "2"]),
    ]
    assert json.loads(output.read_text()) == document


def test_bundles_of_one_name_are_told_apart(edgead, fp32_bundle, tmp_path):
    other = shutil.copy(fp32_bundle, tmp_path / "parts.edgead")
    short = (*SHORT, "--no-pipeline", "--batch", 1, "--json")
    document = json.loads(edgead("bench", fp32_bundle, other, fp32_bundle, *short))
    names = [str(fp32_bundle), str(other), str(fp32_bundle)]
    assert [engine["bundle"] for engine in document["engines"]] == names


def test_a_precision_that_the_bundle_lacks(capsys, fp32_bundle):
    code, err = refused(capsys, "bench", fp32_bundle, *SHORT, "--precision", "fp32", "--precision", "int8")
    assert code == 1 and "no int8 graph" in err and "parts.edgead" in err and "build-engine --precision int8" in err


def test_a_precision_that_does_not_exist(capsys, fp32_bundle):
    code, err = refused(capsys, "bench", fp32_bundle, "--precision", "int3")
    assert code == 2 and "int3" in err


def test_a_batch_above_the_largest(capsys, fp32_bundle, small_batches):
    code, err = refused(capsys, "bench", fp32_bundle, small_batches, *SHORT, "--batch", 8, "--batch", 2)
    assert code == 1 and "a batch of 8, and the graph takes 2 at most" in err and "small.edgead" in err
    assert refused(capsys, "bench", fp32_bundle, *SHORT, "--batch", 0)[0] == 2


def test_outputs_that_cannot_be_written_are_named_before_the_work(capsys, fp32_bundle, tmp_path):
    (tmp_path / "file").write_text("")
    for option in ("-o", "--plot"):
        code, err = refused(capsys, "bench", fp32_bundle, *SHORT, option, tmp_path / "file" / "x")
        assert code == 1 and "cannot be written" in err
    code, err = refused(capsys, "bench", fp32_bundle, "-o", tmp_path / "x", "--plot", tmp_path / "x")
    assert code == 2 and "same file" in err


def test_a_source_that_means_nothing_is_named_before_the_work(capsys, fp32_bundle):
    code, err = refused(capsys, "bench", fp32_bundle, *SHORT, "--source", "gopher://camera")
    assert code == 1 and "gopher://camera" in err


def test_no_build_refuses_what_has_to_be_built(capsys, fp32_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    code, err = refused(capsys, "bench", fp32_bundle, *SHORT, "--no-build")
    assert code == 1 and "no openvino engine was built for this device" in err


def test_no_bundle_is_wrong_usage(capsys):
    assert refused(capsys, "bench")[0] == 2
