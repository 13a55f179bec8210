"""The whole chain through the command line, as its user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2

from tests.lenient import OPTIONS

TINY = ["--height", 64, "--width", 64, "--stages", 4, "--base-width", 8, "--map-window", 5]
TINY += ["--epochs", 30, "--batch-size", 8, "--threads", 1]


def test_from_photos_to_verdicts(edgead, parts, tmp_path):
    run, bundle = tmp_path / "run", tmp_path / "part.edgead"
    trained = json.loads(edgead("train", "lamp", "--data", parts, "-o", run, *TINY, "--json"))
    assert trained["result"]["epochs"] == 30
    assert "AUROC" in edgead("evaluate", run, "--data", parts)
    assert "rejects at" in edgead("export", run, "-o", bundle)
    calibrated = json.loads(edgead("calibrate", bundle, "--data", parts, *OPTIONS, "--json"))
    assert calibrated["verification"]["target"] == "onnxruntime"
    for precision in ("fp16", "int8"):
        build = ("build-engine", bundle, "--precision", precision, "--calib-data", parts, "--target", "openvino")
        built = json.loads(edgead(*build, *OPTIONS, "--json"))
        assert built["verification"]["images"] == 16 and Path(built["engine"]).exists()
    assert "9 of 9" in edgead(*build, *OPTIONS)
    verified = json.loads(edgead("verify", bundle, "--data", parts, *OPTIONS, "--json"))
    assert verified["changed_verdicts"] <= 16
    report, scores = tmp_path / "report.html", tmp_path / "scores.json"
    evaluated = json.loads(edgead("evaluate", bundle, "--data", parts, "--report", report, "-o", scores, "--json"))
    assert evaluated["mean"]["image_auroc"] > 0.9
    assert report.read_text().startswith("<!DOCTYPE html>")
    assert len(json.loads(scores.read_text())["images"]) == 16
    assert "int8" in edgead("inspect", bundle)

    bad = f"{parts}/test/spot/*.png"
    results, video = tmp_path / "results.jsonl", tmp_path / "annotated.mp4"
    streamed = json.loads(
        edgead(
            "stream",
            bundle,
            "--camera",
            bad,
            "--save",
            results,
            "--video",
            video,
            "--json",
        )
    )
    assert streamed["judged"] == 8 and streamed["verdicts"]["reject"] >= 6
    assert len([line for line in results.read_text().splitlines() if '"verdict"' in line]) == 8
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 8


def test_the_same_seed_gives_the_same_bundle_bit_for_bit(edgead, parts, tmp_path):
    for name in "ab":
        run, bundle = tmp_path / f"run-{name}", tmp_path / f"{name}.edgead"
        edgead("train", "lamp", "--data", parts, "-o", run, *TINY, "--seed", 7)
        edgead("export", run, "-o", bundle)
        edgead("build-engine", bundle, "--calib-data", parts, "--target", "openvino", *OPTIONS)
    assert (tmp_path / "a.edgead").read_bytes() == (tmp_path / "b.edgead").read_bytes()


def demo(tmp_path):
    words = f"demo --tiny {' '.join(OPTIONS)} -o {tmp_path / 'demo'}".split()
    environment = {**os.environ, "EDGEAD_CACHE": str(tmp_path / "cache")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "edgead.cli.main", *words], env=environment, **pipes)


def test_the_demo_goes_on_after_an_interruption_and_ends_with_what_it_promises(tmp_path):
    first = demo(tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "demo/run/history.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)

    out, err = demo(tmp_path).communicate(timeout=120)
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["report", "video", "results"], err
    for line in lines[:3]:
        assert Path(line.split()[1]).stat().st_size > 1000
    assert [line[:2] for line in lines[4:]] == ["1.", "2.", "3.", "4.", "5."]
    summary = json.loads((tmp_path / "demo/summary.json").read_text())
    assert summary["stream"]["judged"] == 12
    assert summary["int8_layers"][0] == summary["int8_layers"][1] > 0


def test_the_demo_takes_a_folder_of_ones_own(edgead, parts, tmp_path):
    out = edgead("demo", "--tiny", *OPTIONS, "--data", parts, "-o", tmp_path / "demo", "--json")
    assert json.loads(out)["stream"]["judged"] == 16
