"""An experiment as one HTML file that needs nothing else: the table or the figure, how it was done, and pictures."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from pathlib import Path

import edgead
from edgead.atomic import write_atomic
from edgead.evaluation.curves import Axis, Course, curves, span_of
from edgead.evaluation.markup import Markup, element, join
from edgead.evaluation.report import page
from edgead.experiments.config import MEASURES, Experiment
from edgead.experiments.facts import Fact
from edgead.experiments.figures import Curve, Figure
from edgead.experiments.pictures import by_category, row
from edgead.experiments.runner import Outcome
from edgead.experiments.tables import Line, Table, count, number

_IMAGE, _PIXEL, _LOSS = "good", "bad", "soft"  # colours of the style sheet


def write_table_report(table: Table, outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the report of a table, whole or not at all. Pictures are those of the first series."""
    first = table.experiment.series[0].name
    shown = [outcome for outcome in outcomes if outcome.training.series.name == first]
    _write(path, table.experiment, _filled(table), _facts(table.facts, table.experiment), _gallery(shown))


def write_figure_report(figure: Figure, outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the report of a figure, whole or not at all, with pictures of each series."""
    galleries = [
        _gallery([outcome for outcome in outcomes if outcome.training.series.name == series.name], series.label)
        for series in figure.experiment.series
    ]
    _write(path, figure.experiment, _panels(figure), _facts(figure.facts, figure.experiment), *galleries)


def _write(path: Path, experiment: Experiment, *parts: Markup) -> None:
    source = experiment.source
    header = element("header", element("h1", experiment.title), element("p", f"{source.paper}: {source.place}"))
    footer = element("footer", f"edgead {edgead.__version__}, experiment {experiment.name}.")
    style = (importlib.resources.files("edgead.experiments") / "report.css").read_text("utf-8")
    html = page(experiment.title, element("main", header, *parts, footer), style)
    write_atomic(path, html.encode("utf-8", "replace"))


def _filled(table: Table) -> Markup:
    """Published and measured, row by row."""
    columns = table.experiment.columns
    groups = [
        element("th", f"{column.name}, {MEASURES[column.measure]}", class_="group", colspan=3) for column in columns
    ]
    heads = ["train", "good", "bad"] + ["paper", "here", "difference"] * len(columns)
    head = join(
        [
            element(
                "tr", element("th", "", class_="group"), element("th", "images", class_="group", colspan=3), *groups
            ),
            element("tr", element("th", "", class_="text"), *(element("th", name) for name in heads)),
        ]
    )
    rows = [_row(table, line, "lacking" if line.lacking else None) for line in table.lines]
    rows += [_row(table, line, "sum") for line in table.means]
    body = element("table", element("thead", head), element("tbody", *rows), class_="filled")
    words = "Percent. Means are over the paper's rows, each counting the same. Images: to train, good and bad to test."
    inside = (
        element("h2", "Published and measured"),
        element("div", body, class_="scroll"),
        element("p", words, class_="soft"),
    )
    return element("section", *inside, class_="card")


def _row(table: Table, line: Line, look: str | None) -> Markup:
    cells = [element("td", line.name, class_="text")]
    cells += [element("td", count(value)) for value in (line.train, line.good, line.bad)]
    for column in table.experiment.columns:
        there, here = line.published[column.name], line.measured[column.name]
        cells.append(element("td", number(there)))
        cells.append(element("td", line.lacking or number(here), class_="here"))
        cells.append(element("td", "" if there is None or here is None else f"{here - there:+.1f}".replace("-", "−")))
    return element("tr", *cells, class_=look)


def _facts(facts: Sequence[Fact], experiment: Experiment) -> Markup:
    """What the paper did and what was done here."""
    rows = [
        element(
            "tr",
            element("td", f"{fact.what} ({fact.series})" if fact.series else fact.what),
            element("td", fact.paper),
            element("td", fact.here),
            class_="differs" if fact.differs else None,
        )
        for fact in facts
    ]
    head = element("tr", *(element("th", name) for name in ("", "in the paper, as the file has it", "here")))
    body = element("table", element("thead", head), element("tbody", *rows), class_="facts")
    notes = element("ul", *(element("li", note) for note in experiment.notes), class_="notes")
    return element("section", element("h2", "How it was done"), body, notes if experiment.notes else "", class_="card")


def _panels(figure: Figure) -> Markup:
    """Every curve on the same scale of AUROC, and each loss on its own."""
    every = [course for curve in figure.curves for course in _aurocs(curve)]
    axis = Axis("AUROC, %", *span_of(every, 5, 0, 100))
    panels = [element("div", element("h3", _title(curve)), _panel(curve, axis)) for curve in figure.curves]
    key = (
        _line_key(_LOSS, "loss on the training images (left)"),
        _line_key(_IMAGE, "image AUROC on the test images (right)"),
        _line_key(_PIXEL, "pixel AUROC (right)"),
    )
    lacking = f"No data for {', '.join(figure.lacking)}." if figure.lacking else ""
    inside = (
        element("div", *panels, class_="panels"),
        element("div", *key, class_="key"),
        element("p", lacking, class_="soft"),
    )
    return element("section", element("h2", "While training"), *inside, class_="card")


def _title(curve: Curve) -> str:
    return curve.label if curve.models == 1 else f"{curve.label}: mean of {curve.models} models"


def _panel(curve: Curve, axis: Axis) -> Markup:
    loss = [Course([(point.epoch, point.loss) for point in curve.points], _LOSS, "6 4")]
    top = max(loss[0].known, default=1.0)
    words = f"{curve.label}: loss, image AUROC and pixel AUROC over epochs"
    return curves(words, (Axis("loss", 0.0, 1.05 * top or 1.0), loss), (axis, _aurocs(curve)))


def _aurocs(curve: Curve) -> list[Course]:
    return [
        Course([(point.epoch, 100 * getattr(point, name)) for point in curve.points], colour)
        for name, colour in (("image_auroc", _IMAGE), ("pixel_auroc", _PIXEL))
    ]


def _line_key(colour: str, words: str) -> Markup:
    look = f"border-color: var(--{colour})" + ("; border-top-style: dashed" if colour == _LOSS else "")
    return element("span", element("i", class_="line", style=look), words)


def _gallery(outcomes: Sequence[Outcome], series: str = "") -> Markup:
    """The exhibits of some models, category by category."""
    shown = [exhibit for outcome in outcomes for exhibit in outcome.exhibits]
    shelves = [
        element("section", element("h3", category), row(exhibits), class_="shelf")
        for category, exhibits in by_category(shown)
    ]
    words = (
        "Of good parts and of each defect, the images whose scores are nearest to the median of their kind; below each "
        "its anomaly map. The line is the painted mask. Heat begins at the usual peak of the category's good "
        "test images."
    )
    heading = f"Pictures: {series}" if series else "Pictures"
    inside = (element("h2", heading), element("p", words, class_="soft"), *shelves)
    return element("section", *inside, class_="card gallery")
