"""An evaluation as one HTML file that needs nothing else: no network, no script, no second file."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from pathlib import Path

from edgead.atomic import write_atomic
from edgead.evaluation import sections
from edgead.evaluation.evaluate import Evaluation, Predict
from edgead.evaluation.gallery import choose, gallery
from edgead.evaluation.markup import Markup, element
from edgead.evaluation.thresholds import Thresholds

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(
    evaluation: Evaluation,
    thresholds: Thresholds,
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    predict: Predict,
    height: int,
    width: int,
) -> None:
    """Write the report to `path`, whole or not at all.

    facts: what is known of the model, shown as it is. predict: runs again, for the images of the gallery alone.
    """
    judgement = evaluation.judge(thresholds)
    pictures = gallery(choose(evaluation, thresholds), evaluation, judgement, predict, height, width)
    main = element(
        "main",
        sections.header(evaluation, title),
        sections.in_words(judgement),
        sections.tiles(evaluation.mean),
        element("div", sections.verdicts(judgement), sections.origins(thresholds), class_="halves"),
        sections.score_charts(evaluation, thresholds),
        sections.by_defect(judgement),
        sections.by_category(evaluation),
        element("section", element("h2", "Pictures"), sections.gallery_key(), pictures, class_="card gallery"),
        sections.model(facts),
        sections.footer(evaluation),
    )
    # A file name need not be valid Unicode.
    write_atomic(path, page(title, main).encode("utf-8", "replace"))


def page(title: str, main: Markup, style: str = "") -> str:
    """A whole page in the style of the report, and in `style` where it adds to that."""
    style = (importlib.resources.files("edgead.evaluation") / "report.css").read_text("utf-8") + style
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', main), lang='en')}\n"
