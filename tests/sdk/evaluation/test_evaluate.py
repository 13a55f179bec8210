"""An evaluation of a graph whose answers are known, its judgement, table and report."""

from __future__ import annotations

import json
import math
import shutil
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from rich.console import Console
from sklearn import metrics

from edgead.data.images import read_mask
from edgead.data.layout import read_dataset
from edgead.errors import DataError, EngineError
from edgead.evaluation.evaluate import evaluate
from edgead.evaluation.report import write_report
from edgead.evaluation.table import table
from edgead.evaluation.thresholds import fit_thresholds


def darkness(images):
    """A detector by hand: how far a pixel is from the image's median."""
    gray = images.astype(np.float32).mean(axis=3)
    anomaly_map = np.abs(gray - np.median(gray, axis=(1, 2), keepdims=True))
    return {"anomaly_map": anomaly_map, "score": anomaly_map.max(axis=(1, 2))}


@pytest.fixture(scope="module")
def samples(parts):
    return read_dataset(parts).test


@pytest.fixture(scope="module")
def evaluation(samples):
    return evaluate(darkness, samples, 64, 64, batch_size=3)


@pytest.fixture(scope="module")
def thresholds(evaluation):
    good = evaluation.scores[~evaluation.labels]
    return fit_thresholds(good, good)


def test_metrics_are_scikit_learns_on_the_same_answers(evaluation, samples):
    from edgead.data.loading import load_images

    answers = darkness(load_images(samples, 64, 64))
    labels = np.array([sample.anomalous for sample in samples])
    np.testing.assert_allclose(evaluation.scores, answers["score"])
    mean = evaluation.mean
    assert (mean.good, mean.bad, mean.masked) == (8, 8, 8)
    assert mean.image_auroc == pytest.approx(metrics.roc_auc_score(labels, answers["score"]))
    assert mean.image_ap == pytest.approx(metrics.average_precision_score(labels, answers["score"]))
    masks = np.stack([read_mask(s.mask, 64, 64) if s.mask else np.zeros((64, 64), bool) for s in samples])
    assert mean.pixel_auroc == pytest.approx(metrics.roc_auc_score(masks.ravel(), answers["anomaly_map"].ravel()))
    assert mean.pixel_ap == pytest.approx(
        metrics.average_precision_score(masks.ravel(), answers["anomaly_map"].ravel())
    )


def test_the_batch_size_changes_nothing(evaluation, samples):
    again = evaluate(darkness, samples, 64, 64, batch_size=16)
    assert again.to_json() == evaluation.to_json()


def test_images_without_masks_are_left_out_of_pixels_and_counted(samples):
    from dataclasses import replace

    bad = [sample for sample in samples if sample.anomalous]
    some = [replace(sample, mask=None) if sample in bad[:3] else sample for sample in samples]
    assert evaluate(darkness, some, 64, 64).mean.masked == 5
    none = [replace(sample, mask=None) for sample in samples]
    mean = evaluate(darkness, none, 64, 64).mean
    assert mean.masked == 0 and math.isnan(mean.pixel_auroc) and not math.isnan(mean.image_auroc)
    assert mean.to_json()["pixel_auroc"] is None


def test_classes_are_measured_apart_and_averaged(parts, tmp_path):
    for name in ("left", "right"):
        shutil.copytree(parts, tmp_path / "line" / name)
    dataset = read_dataset(tmp_path / "line")
    evaluation = evaluate(darkness, dataset.test, 64, 64)
    assert set(evaluation.categories) == {"left", "right"}
    aurocs = [measured.image_auroc for measured in evaluation.categories.values()]
    assert evaluation.mean.image_auroc == pytest.approx(np.mean(aurocs))
    assert evaluation.mean.good == 16


def test_verdicts_are_counted_by_defect(evaluation, thresholds):
    judged = evaluation.judge(thresholds)
    rejected = (evaluation.scores >= thresholds.image.value) & evaluation.labels
    assert judged.bad.rejected == rejected.sum()
    assert judged.good.images + judged.bad.images == len(evaluation.samples)
    assert [row.defect for row in judged.defects] == ["good", "spot"]
    for group in (judged.good, judged.bad):
        assert group.accepted + group.warned + group.rejected == group.images


def test_the_document_is_json_and_has_no_paths(evaluation, parts):
    text = json.dumps(evaluation.to_json(), allow_nan=False)
    assert str(parts) not in text
    assert json.loads(text)["resolution"] == [64, 64]


def test_the_table_shows_every_class_and_the_figures(evaluation, thresholds):
    console = Console(record=True, width=140)
    console.print(table(evaluation, thresholds))
    shown = console.export_text()
    for text in ("parts", "spot", f"{evaluation.mean.image_auroc:.3f}"[:5]):
        assert text in shown


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: {"score": np.zeros(n + 1, np.float32), "anomaly_map": np.zeros((n, 64, 64), np.float32)},
        lambda n: {"score": np.zeros(n, np.float32), "anomaly_map": np.zeros((n, 8, 8), np.float32)},
        lambda n: {"score": np.full(n, np.nan, np.float32), "anomaly_map": np.zeros((n, 64, 64), np.float32)},
    ],
)
def test_answers_that_cannot_be_are_refused(samples, answer):
    with pytest.raises(EngineError):
        evaluate(lambda images: answer(len(images)), samples, 64, 64)


def test_no_images_are_refused():
    with pytest.raises(DataError, match="no images"):
        evaluate(darkness, [], 64, 64)


class Page(HTMLParser):
    """Collects what a page refers to, and whether its tags are closed in order."""

    VOID = frozenset(["meta", "img", "br", "link", "input", "hr"])

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(evaluation, thresholds, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    facts = {"detector": "by <b>hand</b>"}
    write_report(
        evaluation, thresholds, path, title="parts & <parts>", facts=facts, predict=darkness, height=64, width=64
    )
    content = path.read_text()
    parsed = Page()
    parsed.feed(content)
    assert not parsed.open
    return content, parsed


def test_the_report_needs_nothing_else(page):
    content, parsed = page
    assert all(link.startswith(("data:image/", "#")) for link in parsed.links)
    assert "script" not in parsed.tags and "link" not in parsed.tags
    assert "http://" not in content.replace("http://www.w3.org", "") and "https://" not in content
    assert "url(" not in content


def test_the_report_escapes_what_it_shows_and_tells_the_figures(page, evaluation, thresholds):
    content, parsed = page
    assert "<parts>" not in content and "<b>hand" not in content
    assert f"{evaluation.mean.image_auroc:.4f}" in parsed.text
    assert thresholds.image.describe() in parsed.text
    assert "spot" in parsed.text


def test_the_pictures_of_the_report_decode(page):
    import base64

    images = [link for link in page[1].links if link.startswith("data:image/")]
    assert len(images) >= 4
    for link in images[:4]:
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(link.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None and min(decoded.shape[:2]) >= 32


def test_a_hostile_file_name_stays_text(samples, thresholds, tmp_path):
    from dataclasses import replace

    hostile = [replace(s, name="<script>alert(1)</script>\udcff.png", defect=s.defect) for s in samples]
    evaluation = evaluate(darkness, hostile, 64, 64)
    path = tmp_path / "report.html"
    write_report(evaluation, thresholds, path, title="x", facts={}, predict=darkness, height=64, width=64)
    assert b"<script" not in path.read_bytes()
