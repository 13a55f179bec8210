"""edgead verify: two engines, precisions or detectors through the command line, and its report."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.bundle import read_bundle
from edgead.cli.main import main
from edgead.evaluation.thresholds import Thresholds
from tests.lenient import LENIENT, OPTIONS
from tests.other_detector import other_detector

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def bundle(fp32_bundle, parts, tmp_path_factory):
    """fp32, fp16 and int8 of one detector; int8 was built last."""
    path = Path(shutil.copy(fp32_bundle, tmp_path_factory.mktemp("verify") / "part.edgead"))
    for precision in ("fp16", "int8"):
        build = ("build-engine", path, "--precision", precision, "--calib-data", parts, "--target", "openvino")
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in (*build, *OPTIONS)])
        assert ended.value.code == 0
    return path


@pytest.fixture(scope="module")
def refusing(bundle, tmp_path_factory):
    """The same, but its int8 accepts everything."""
    path = tmp_path_factory.mktemp("refusing") / "part.edgead"
    read = read_bundle(bundle)
    variant = read.manifest.variant("int8")
    image = replace(variant.thresholds.image, value=1e6)
    blind = Thresholds(image, replace(variant.thresholds.warn, value=1e6), variant.thresholds.pixel)
    read.with_variant("int8", replace(variant, thresholds=blind), {}).write(path)
    return path


def refused(capsys, *arguments):
    """The streams of a call that the gate refuses."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 3
    return capsys.readouterr()


class Page(HTMLParser):
    """The text of a page, its figures, and the pictures in them."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.images, self.captions = [], "", [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        self.text += data

    def decoded(self):
        for image in self.images:
            head, _, data = image["src"].partition(",")
            assert head == "data:image/jpeg;base64"
            yield cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_by_default_what_runs_is_held_against_the_fp32_graph(edgead, bundle, parts):
    before = bundle.read_bytes()
    told = json.loads(edgead("verify", bundle, "--data", parts, "--target", "openvino", *OPTIONS, "--json"))
    judged, reference = told["sides"]["judged"], told["sides"]["reference"]
    assert (judged["precision"], judged["target"]) == ("int8", "openvino")
    assert (reference["precision"], reference["target"]) == ("fp32", "onnxruntime")
    assert judged["digest"] == reference["digest"] == read_bundle(bundle).digest and told["same_detector"]
    assert told["map_error"] > 0 and told["pyramid"][0] == told["map_error"] and told["faults"] == []
    assert told["budget"]["max_map_error"] == LENIENT.max_map_error
    # What the build found of the same engine, on the same images.
    built = read_bundle(bundle).manifest.variant("int8").verification
    assert told["images"] == built["images"] == 16
    assert told["map_error"] == pytest.approx(built["map_error"]) and told["metrics"] == built["metrics"]
    assert bundle.read_bytes() == before


def test_any_two_precisions_and_engines(edgead, bundle, parts):
    verify = ("verify", bundle, "--data", parts, "--target", "openvino", "--precision", "int8", *OPTIONS)
    against = ("--against-precision", "fp16", "--against-target", "openvino")
    told = json.loads(edgead(*verify, *against, "--json"))
    reference = told["sides"]["reference"]
    assert (reference["precision"], reference["target"]) == ("fp16", "openvino") and told["map_error"] > 0
    verification = read_bundle(bundle).manifest.variant("fp16").verification
    assert told["reference"]["image_auroc"] == verification["metrics"]["image_auroc"]
    said = edgead(*verify, *against)
    assert said.startswith("part.edgead: int8 on openvino beside fp16 on openvino\n")
    assert "(fp16 on openvino " in said and "map error of means over 1, 2 x 2" in said
    lone = ("verify", bundle, "--data", parts, "--target", "onnxruntime", "--precision", "fp32", *OPTIONS, "--json")
    assert json.loads(edgead(*lone))["map_error"] == 0


def test_an_engine_beside_itself_shows_zeros_whatever_the_budget(edgead, bundle, parts, tmp_path):
    strict = [0 if word.replace(".", "").lstrip("-").isdigit() else word for word in OPTIONS]
    same = (
        "--precision",
        "int8",
        "--target",
        "openvino",
        "--against-precision",
        "int8",
        "--against-target",
        "openvino",
    )
    report = tmp_path / "report.html"
    told = json.loads(edgead("verify", bundle, "--data", parts, *same, *strict, "--report", report, "--json"))
    assert told["map_error"] == told["score_error"] == told["changed_verdicts"] == 0 and told["changes"] == []
    page = Page(report)
    assert "Within the budget" in page.text and "no map differs" in page.text and page.tags.count("figure") == 8


def test_two_detectors_are_compared_by_what_they_say(edgead, bundle, parts, tmp_path):
    report = tmp_path / "two.html"
    verify = ("verify", bundle, other_detector(parts), "--data", parts, "--target", "openvino", *OPTIONS)
    told = json.loads(edgead(*verify, "--report", report, "--json"))
    assert told["map_error"] is None and told["pyramid"] == [] and not told["same_detector"]
    assert told["sides"]["reference"]["input"] == [32, 48] and told["sides"]["judged"]["input"] == [64, 64]
    assert -1 <= told["rank_correlation"] <= 1 and None not in told["reference"].values()
    moved = {change["image"] for change in told["changes"]}
    said = edgead(*verify)
    assert "two detectors" in said and "map off" not in said and all(name in said for name in moved)
    page = Page(report)
    assert "32 x 48" in page.text and "units of their own" in page.text
    # Every picture has the shape of the photograph, whatever the detectors take.
    assert {image.shape for image in page.decoded()} == {(96, 96, 3)}


def test_a_refusal_comes_after_everything_and_names_the_worst(capsys, refusing, parts, tmp_path):
    report = tmp_path / "report.html"
    verify = ("verify", refusing, "--data", parts, "--target", "openvino")
    streams = refused(capsys, *verify, "--max-map-error", 9, "--report", report)
    assert "verdicts change" in streams.err and "verdicts that change first: test/spot/" in streams.err
    assert "test/spot/000.png: reject becomes accept" in streams.out
    page = Page(report)
    assert "Outside the budget" in page.text and "test/spot/000.png" in page.text and "bad part: spot" in page.text
    document = json.loads(refused(capsys, *verify, "--json").out)
    moved = document["verdicts"]["reject"]["accept"]
    assert moved == document["changed_verdicts"] == len(document["changes"]) == page.tags.count("figure") > 1
    assert document["faults"] and document["changed"] == [change["image"] for change in document["changes"]]
    # The pictures are the photograph and two heat maps.
    pictures = list(page.decoded())
    assert len(pictures) == 3 * moved and all(picture.std() > 5 for picture in pictures)
    lenient = ("--max-changed", 1, "--max-drop", 1, "--max-pixel-drop", 1, "--max-aupro-drop", 1, "--max-map-error", 9)
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in (*verify, *lenient)])
    assert ended.value.code == 0


def test_painted_defects_are_named_as_painted(edgead, refusing, parts, tmp_path):
    report = tmp_path / "painted.html"
    verify = ("verify", refusing, "--data", parts / "train/good", "--target", "openvino", *OPTIONS)
    said = edgead(*verify, "--report", report)
    assert "no bad parts among the images: 5 have painted defects" in said
    assert "(painted): reject becomes accept" in said
    page = Page(report)
    assert "5 copies with painted defects" in page.text
    assert "a painted defect" in page.text and "(painted)" in page.text and "bad part:" not in page.text


def test_what_is_missing_is_said_before_the_work(edgead, bundle, fp32_bundle, parts, tmp_path, monkeypatch):
    edgead("verify", fp32_bundle, "--data", parts, "--precision", "int8", code=1)
    edgead("verify", bundle, tmp_path / "none.edgead", "--data", parts, code=1)
    edgead("verify", bundle, "--data", parts, "--report", parts / "train/good/000.png/x.html", code=1)
    edgead("verify", bundle, "--data", parts, "--against-target", "abacus", code=2)
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    edgead("verify", bundle, "--data", parts, "--target", "openvino", *OPTIONS, "--no-build", code=1)
    edgead("verify", bundle, "--data", parts, "--target", "openvino", *OPTIONS)


@pytest.fixture
def hostile(parts, tmp_path):
    """The parts again, a bad one under the name of an element, and one whose name is no text."""
    data = tmp_path / "parts"
    shutil.copytree(parts, data)
    for before, after in (("000", "<img src=x onerror=alert(1)>&\"'"), ("001", os.fsdecode(b"\xff"))):
        for folder, end in (("test/spot", ".png"), ("ground_truth/spot", "_mask.png")):
            (data / folder / f"{before}{end}").rename(data / folder / f"{after}{end}")
    return data


def test_a_hostile_file_name_stays_text(edgead, refusing, hostile, tmp_path):
    report = tmp_path / "report.html"
    said = edgead("verify", refusing, "--data", hostile, "--target", "openvino", *OPTIONS, "--report", report)
    assert "<img src=x" in said and "\ufffd.png: reject becomes" in said
    page = Page(report)
    assert "<img src=x onerror=alert(1)>" in page.text
    assert all(image["src"].startswith("data:image/jpeg;base64,") and "onerror" not in image for image in page.images)
    assert "script" not in page.tags


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_browser_shows_the_report_light_and_dark(edgead, refusing, hostile, tmp_path):
    report = tmp_path / "report.html"
    edgead("verify", refusing, "--data", hostile, "--target", "openvino", *OPTIONS, "--report", report)
    grounds = []
    for scheme in (1, 0):
        shot = tmp_path / f"{scheme}.png"
        words = f"--headless --no-sandbox --disable-gpu --window-size=1200,2400 --screenshot={shot}"
        words += f" --user-data-dir={tmp_path / 'profile'} --blink-settings=preferredColorScheme={scheme}"
        subprocess.run([CHROMIUM, *words.split(), report.as_uri()], check=True, capture_output=True, timeout=60)
        picture = cv2.imread(str(shot))
        assert picture.shape[:2] == (2400, 1200)
        grounds.append(int(picture[5, 5].max()))
        # Photographs and badges are there: much of what is neither the ground nor text.
        assert np.count_nonzero(np.ptp(picture.astype(int), axis=2) > 60) > 5000
    assert grounds[0] > 230 and grounds[1] < 40
