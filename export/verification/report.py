"""Two detectors side by side as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgead import __version__
from edgead.atomic import write_atomic
from edgead.evaluation.charts import coordinate
from edgead.evaluation.markup import Markup, element, join
from edgead.evaluation.report import page
from edgead.export.verification.comparison import Comparison
from edgead.export.verification.gate import Budget
from edgead.export.verification.pictures import gallery
from edgead.export.verification.side_by_side import Side, SideBySide
from edgead.result import Verdict

_STYLE = """
.summary ul { margin: 8px 0 0; padding-left: 22px; }
.matrix { table-layout: fixed; }
.notes { margin: 8px 0 0; color: var(--soft); font-size: 13px; line-height: 1.5; }
.kept { background: var(--well); }
.gallery .key { margin-bottom: 14px; }
.says { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 2px 10px; margin-bottom: 5px; }
.says div { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 8px; }
.says small { flex-basis: 100%; line-height: 1.3; }
.says .truth { margin: 0; }
svg .level { fill: var(--good); }
svg .limit { stroke: var(--reject); stroke-width: 1.6; stroke-dasharray: 5 4; }
"""
_METRICS = {
    "image_auroc": ("image AUROC", "max_drop"),
    "pixel_auroc": ("pixel AUROC", "max_pixel_drop"),
    "aupro": ("AUPRO", "max_aupro_drop"),
}
_LEVELS = 9


def write_report(found: SideBySide, budget: Budget, path: Path) -> None:
    """Write the report to `path`, whole or not at all. budget: what the gate allows, shown beside what was found."""
    main = element(
        "main",
        _header(found),
        _in_words(found, budget.faults(found.comparison)),
        element("div", _metrics(found.comparison, budget), _verdicts(found), class_="pair"),
        element("div", _subjects(found), _pyramid(found, budget), class_="pair"),
        gallery(found),
        element("div", _thresholds(found.reference, "reference"), _thresholds(found.judged, "judged"), class_="halves"),
        element("footer", f"edgead {__version__}. Pixels are measured at the size that each side takes."),
    )
    # A file name need not be valid Unicode.
    write_atomic(path, page(found.title, main, _STYLE).encode("utf-8", "replace"))


def _header(found: SideBySide) -> Markup:
    comparison = found.comparison
    bad = f"{comparison.bad} bad ones"
    if comparison.painted:
        bad = f"{comparison.bad} copies with painted defects, as there are no bad parts among the images"
    words = f"{comparison.images} images: {comparison.good} good ones and {bad if comparison.bad else 'no bad ones'}"
    return element("header", element("h1", found.title), element("p", words))


def _in_words(found: SideBySide, faults: Sequence[str]) -> Markup:
    """What the gate says, what changed, and what a reader has to know."""
    comparison = found.comparison
    crossing = comparison.changed_verdicts
    other = len(found.changed) - crossing
    words = f" {crossing} of {comparison.images} verdicts change between rejected and not"
    words += f", {other} more between accepted and warned of." if other else "."
    if comparison.map_error is not None:
        words += f" The map is off by {comparison.map_error:.1%}."
    inside = [element("b", "Outside the budget." if faults else "Within the budget."), words]
    if faults:
        inside.append(element("ul", *(element("li", fault) for fault in faults)))
    inside += [element("p", f"{note[0].upper()}{note[1:]}.", class_="notes") for note in found.notes]
    return element("div", *inside, class_="card summary")


def _metrics(comparison: Comparison, budget: Budget) -> Markup:
    """Each figure of both, by how much it falls, and what the gate allows."""
    allowed, rows = asdict(budget), []
    before, after = asdict(comparison.reference), asdict(comparison.metrics)
    falls = comparison.falls()
    for name, (title, limit) in _METRICS.items():
        fall = "–" if name not in falls else f"{round(falls[name], 4) + 0.0:+.4f}"
        rows.append(_row(title, _number(before[name]), _number(after[name]), fall, f"{allowed[limit]:g}"))
    changed = f"{comparison.changed_verdicts} of {comparison.images}"
    rows.append(_row("verdicts that change", "", "", changed, f"{budget.max_changed:.1%}"))
    error = "–" if comparison.map_error is None else f"{comparison.map_error:.2%}"
    rows.append(_row("map error", "", "", error, f"{budget.max_map_error:.0%}"))
    least = f"at least {budget.min_correlation:g}" if comparison.painted or not comparison.bad else ""
    rows.append(_row("rank correlation, good parts", "", "", f"{comparison.rank_correlation:.3f}", least))
    heads = ("reference", "judged", "fall, or change", "allowed")
    head = element("tr", element("th", "", class_="text"), *(element("th", name) for name in heads))
    note = (
        "A single pair of a good and a bad image in the other order, and a single changed verdict, are always allowed. "
        "Map error: the root mean square of the maps' difference, as a share of the standard deviation of the "
        "reference's."
    )
    table = element("table", element("thead", head), element("tbody", *rows))
    return element(
        "section",
        element("h2", "Figures"),
        element("div", table, class_="scroll"),
        element("p", note, class_="notes"),
        class_="card",
    )


def _row(title: str, *cells: str) -> Markup:
    return element("tr", element("td", title, class_="text"), *(element("td", cell) for cell in cells))


def _verdicts(found: SideBySide) -> Markup:
    """The reference's verdicts by those of the other."""
    rows = []
    for before, counts in zip(Verdict, found.crossed(), strict=True):
        cells = []
        for after, count in zip(Verdict, counts, strict=True):
            crosses = (before is Verdict.REJECT) != (after is Verdict.REJECT)
            look = "kept" if before is after else "wrong" if crosses else "close"
            cells.append(element("td", element("b", count), class_=look if count else "empty"))
        rows.append(element("tr", element("th", before.value), *cells))
    heads = element("tr", element("th"), *(element("th", verdict.value) for verdict in Verdict))
    return element(
        "section",
        element("h2", "Verdicts"),
        element("table", element("thead", heads), element("tbody", *rows), class_="matrix"),
        element("p", "Rows: what the reference says. Columns: what the judged says.", class_="notes"),
        class_="card",
    )


def _subjects(found: SideBySide) -> Markup:
    """Who was compared."""
    told = []
    for side in (found.reference, found.judged):
        height, width = side.held.images.shape[1:3]
        told.append((side.bundle, side.digest[:16], side.family, side.precision, side.target, f"{height} x {width}"))
    titles = ("bundle", "digest", "detector", "precision", "runs on", "input")
    rows = [
        element("tr", *(element("td", cell, class_="text") for cell in (title, *cells)))
        for title, *cells in zip(titles, *told, strict=True)
    ]
    head = element("tr", *(element("th", name, class_="text") for name in ("", "reference", "judged")))
    table = element("table", element("thead", head), element("tbody", *rows))
    return element("section", element("h2", "What was compared"), element("div", table, class_="scroll"), class_="card")


def _thresholds(side: Side, whose: str) -> Markup:
    """What a side judges by, and how each was found."""
    found = side.measured.thresholds
    rows = [
        join(
            [
                element("dt", name),
                element("dd", f"from {threshold.value:.5g}, ", element("span", threshold.describe(), class_="soft")),
            ]
        )
        for name, threshold in (("reject", found.image), ("warn", found.warn), ("region", found.pixel))
    ]
    heading = f"Thresholds of the {whose}, {side.runs}"
    return element("section", element("h2", heading), element("dl", *rows), class_="card")


def _pyramid(found: SideBySide, budget: Budget) -> Markup:
    """The map error of means over more and more pixels, as bars, and that of the features at each of their levels."""
    comparison = found.comparison
    heading = element("h2", "Map error by level of the pyramid")
    if not comparison.pyramid:
        words = "The maps of two detectors have units of their own." if comparison.map_error is None else "None."
        return element("section", heading, element("p", words, class_="none"), class_="card")
    note = (
        "Level k has the means of 2^k x 2^k pixels. Rounding averages out from level to level; what stays is a map "
        "that is off over whole regions."
    )
    notes = element("p", note, class_="notes")
    return element("section", heading, _bars(comparison, budget), notes, *_levels(found), class_="card")


def _levels(found: SideBySide) -> list[Markup]:
    """Where on the way through the detector the error comes in; nothing where its features have no levels."""
    if not found.levels:
        return []
    rows = [_row(" x ".join(map(str, level.shape)), _share(level.error)) for level in found.levels]
    title = element("th", "features: channels x height x width", class_="text")
    head = element("tr", title, element("th", "error"))
    return [element("table", element("thead", head), element("tbody", *rows))]


def _bars(comparison: Comparison, budget: Budget) -> Markup:
    wide, high, bottom, top = 340, 240, 40, 26
    levels = comparison.pyramid[:_LEVELS]
    step, room = wide / len(levels), high - bottom - top
    most = max(*levels, 1e-9)
    shown = budget.max_map_error <= 2 * most  # else the bars would be flat
    most = max(most, budget.max_map_error) if shown else most
    parts = [element("line", class_="axis", x1=0, x2=wide, y1=high - bottom, y2=high - bottom)]
    for level, error in enumerate(levels):
        x, tall = level * step, error / most * room
        y, middle = high - bottom - tall, coordinate(x + step / 2)
        size = {"width": coordinate(step * 0.72), "height": coordinate(tall)}
        parts.append(element("rect", class_="level", x=coordinate(x + step * 0.14), y=coordinate(y), rx=2, **size))
        parts.append(element("text", _share(error), x=middle, y=coordinate(y - 6), text_anchor="middle"))
        parts.append(element("text", 2**level, x=middle, y=high - bottom + 16, text_anchor="middle"))
    if shown:
        y, words = high - bottom - budget.max_map_error / most * room, f"{budget.max_map_error:.0%} allowed"
        parts.append(element("line", class_="limit", x1=0, x2=coordinate(step), y1=coordinate(y), y2=coordinate(y)))
        parts.append(element("text", words, class_="label reject", x=coordinate(step + 6), y=coordinate(y + 4)))
    legend = element("text", "means over so many pixels each way", x=wide / 2, y=high - 6, text_anchor="middle")
    title = element("title", "The root mean square of the maps' difference, as a share of their standard deviation")
    return element("svg", title, join(parts), legend, viewBox=f"0 0 {wide} {high}", role="img")


def _share(value: float) -> str:
    return f"{value * 100:.3g}\u00a0%" if value else "0"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
