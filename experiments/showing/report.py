"""An experiment as one HTML file that needs nothing else: the table or the figure, how it was done, and pictures."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

import edgead
from edgead.atomic import write_atomic
from edgead.evaluation.curves import Axis, Course, curves, span_of
from edgead.evaluation.markup import Markup, element, join
from edgead.evaluation.report import page
from edgead.experiments.cells.pictures import Exhibit, by_category, row
from edgead.experiments.reading.config import MEASURES, Experiment
from edgead.experiments.showing.facts import Fact
from edgead.experiments.showing.figures import Curve, Figure
from edgead.experiments.showing.layout import Grid, counted, grids, is_wide, tried_grid
from edgead.experiments.showing.tables import Line, Table, count, number
from edgead.experiments.showing.words import extent, summarised

_IMAGE, _PIXEL, _LOSS = "good", "bad", "soft"  # colours of the style sheet


def write_table_report(table: Table, shown: Mapping[str, Sequence[Exhibit]], path: Path) -> None:
    """Write the report of a table, whole or not at all. shown: pictures, by the label of the series that saw them."""
    tried = tried_grid(table)
    parts = [
        *(map(_grid, grids(table)) if is_wide(table) else [_filled(table)]),
        *([_grid(tried)] if tried else []),
        _facts(table.facts, table.experiment),
    ]
    words = f"{summarised(table)} {extent(table)}" if is_wide(table) or tried else extent(table)
    galleries = [_gallery(exhibits, "") for exhibits in shown.values()]
    _write(path, table.experiment, words, *parts, *galleries)


def write_figure_report(figure: Figure, shown: Mapping[str, Sequence[Exhibit]], path: Path) -> None:
    """Write the report of a figure, whole or not at all. shown: as for a table."""
    galleries = [_gallery(exhibits, label) for label, exhibits in shown.items()]
    _write(
        path, figure.experiment, extent(figure), _panels(figure), _facts(figure.facts, figure.experiment), *galleries
    )


def _write(path: Path, experiment: Experiment, words: str, *parts: Markup) -> None:
    """words: what has to be said at once."""
    source = experiment.source
    said = [element("p", element("strong", words))] if words else []
    where = element("p", f"{source.paper}: {source.place}")
    header = element("header", element("h1", experiment.title), where, *said)
    footer = element("footer", f"edgead {edgead.__version__}, experiment {experiment.name}.")
    style = (importlib.resources.files("edgead.experiments.showing") / "report.css").read_text("utf-8")
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
    rules = "Means are over the paper's rows, each counting the same. Images: to train, good and bad to test."
    words = f"{summarised(table)} {rules}"
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
        cells.append(element("td", line.lacking or number(here, counted=counted(table)), class_="here"))
        apart = f"{here.mean - there.mean:+.1f}".replace("-", "−") if there and here else ""
        cells.append(element("td", apart))
    return element("tr", *cells, class_=look)


def _grid(grid: Grid) -> Markup:
    """Part of a table that is too wide to be shown as in the paper."""
    head = element(
        "tr", *(element("th", name, class_=None if place else "text") for place, name in enumerate(grid.heads))
    )
    rows = [
        element("tr", *(element("td", text, class_=None if place else "text") for place, text in enumerate(row)))
        for row in grid.rows
    ]
    body = element("table", element("thead", head), element("tbody", *rows), class_="filled")
    return element("section", element("h2", grid.title), element("div", body, class_="scroll"), class_="card")


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


def _gallery(shown: Sequence[Exhibit], series: str) -> Markup:
    """The exhibits of some models, category by category."""
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
