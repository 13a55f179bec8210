"""Reports: one whole file each, well-formed, with the drawings and pictures that they should have."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

from edgead.data.layout import read_dataset
from edgead.evaluation.curves import Axis, Course, curves, span_of
from edgead.evaluation.evaluate import evaluate
from edgead.experiments.cells.pictures import exhibits
from edgead.training.evaluate import predictor
from edgead.training.run import load_model

VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Checks that elements are nested, and keeps (name, attributes) of each and the text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def count(self, tag, **attributes):
        found = (given for name, given in self.elements if name == tag)
        return sum(all(given.get(key.rstrip("_")) == value for key, value in attributes.items()) for given in found)


def test_a_table_report_has_the_table_and_a_row_of_pictures_for_each_category(filled):
    page = Page((filled[1] / "report.html").read_text())
    text = " ".join(page.words)
    for words in ("no data", "87.5", "Mean of 2", "mobilenet_v3_small", "random, not trained", "spot"):
        assert words in text
    assert page.count("div", class_="cards row") == 2
    assert page.count("figure") == 8 and page.count("img") == 16  # each: the image, and its heat map
    assert all(given["src"].startswith("data:image/jpeg;base64,") for name, given in page.elements if name == "img")


def test_a_figure_report_has_a_drawing_for_each_curve(drawn):
    _, output = drawn
    page = Page((output / "report.html").read_text())
    assert page.count("svg") == 4
    # Loss, image AUROC and pixel AUROC in each, and a dot for each of their points.
    assert page.count("polyline", class_="curve") == 12
    assert page.count("circle") == 4 * 3 * 4
    lines = [given["points"].split() for name, given in page.elements if name == "polyline"]
    assert all(len(line) == 4 for line in lines)
    assert "mean of 2 models" in " ".join(page.words)


def test_reports_load_nothing(filled, drawn):
    for _, output in (filled, drawn):
        text = (output / "report.html").read_text()
        (policy,) = (given["content"] for name, given in Page(text).elements if "http-equiv" in given)
        assert policy.startswith("default-src 'none'") and "<script" not in text
        assert not re.search(r"(src|href)=\"(?!data:)", text)


def test_pictures_are_the_usual_ones_of_each_kind(run, parts):
    """The nearest to the median of their kind, good parts first, then each kind again."""
    predict = predictor(load_model(run))
    evaluation = evaluate(predict, read_dataset(parts).test, 64, 64)
    shown = exhibits(evaluation, predict)
    assert [exhibit.sample.defect for exhibit in shown] == ["good", "spot", "good", "spot"]
    for kind in ("good", "spot"):
        scores = sorted(
            float(score)
            for score, sample in zip(evaluation.scores, evaluation.samples, strict=True)
            if sample.defect == kind
        )
        middle = scores[len(scores) // 2 - 1 : len(scores) // 2 + 1]
        assert sorted(exhibit.score for exhibit in shown if exhibit.sample.defect == kind) == middle
    low, high = shown[0].scale
    good = evaluation.peaks[~evaluation.labels]
    assert low < good.max() < high and all(exhibit.scale == (low, high) for exhibit in shown)


def test_a_drawing_puts_values_where_they_belong():
    loss = Course([(1, 0.0), (11, 1.0)], "soft")
    auroc = Course([(1, 50.0), (6, math.nan), (11, 100.0)], "good")
    drawing = str(curves("both", (Axis("loss", 0, 1), [loss]), (Axis("AUROC", 50, 100), [auroc])))
    page = Page(drawing)
    lines = [given["points"].split() for name, given in page.elements if name == "polyline"]
    assert [len(line) for line in lines] == [2, 1, 1]  # a value that is not known leaves a gap
    assert lines[0][0] == lines[1][0] and lines[0][1] == lines[2][0]  # each at the same end of its own scale
    (x1, y1), (x2, y2) = (map(float, place.split(",")) for place in lines[0])
    assert x1 < x2 and y1 > y2


def test_a_drawing_of_a_single_epoch_and_of_nothing_is_drawn():
    for points in ([(1, 0.5)], [], [(1, math.nan)]):
        Page(str(curves("one", (Axis("loss", 0, 1), [Course(points, "soft")]), (Axis("AUROC", 0, 100), []))))


def test_the_span_of_a_scale_is_round_and_within_its_limits():
    assert span_of([Course([(1, 61.0), (2, 98.0)], "good")], 5, 0, 100) == (60, 100)
    assert span_of([Course([(1, 100.0)], "good")], 5, 0, 100) == (95, 100)
    assert span_of([Course([(1, math.nan)], "good")], 5, 0, 100) == (0, 100)
