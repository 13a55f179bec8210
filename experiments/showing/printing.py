"""A filled table or a figure's summary as Markdown and on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from edgead.experiments.showing.facts import Fact
from edgead.experiments.showing.figures import Figure
from edgead.experiments.showing.layout import (
    Grid,
    counted,
    grids,
    is_turned,
    is_wide,
    shown_columns,
    shown_lines,
    shown_means,
    tried_grid,
)
from edgead.experiments.showing.tables import Line, Table, count, heading, number
from edgead.experiments.showing.words import extent, summarised


def as_markdown(table: Table) -> str:
    """The table, what differs from the paper, and the notes."""
    experiment = table.experiment
    facts = [[fact.series, fact.what, fact.paper, fact.here] for fact in table.facts]
    tried = tried_grid(table)
    parts = [
        f"# {_plain(experiment.title)}",
        f"{_plain(experiment.source.paper)}: {_plain(experiment.source.place)}. {summarised(table)}",
        *filter(None, [extent(table)]),
        *(_grids_as_markdown(grids(table)) if is_wide(table) else [_as_the_paper(table)]),
        *(_grids_as_markdown([tried]) if tried else []),
        "## How it was done",
        _markdown_table(["", "", "paper", "here"], facts),
        *(f"- {_plain(note)}" for note in experiment.notes),
    ]
    return "\n\n".join(parts) + "\n"


def _as_the_paper(table: Table) -> str:
    heads = ["", "train", "good", "bad"]
    for column in table.experiment.columns:
        heads += [f"{heading(column)}, paper", "here"]
    rows = [
        [line.name, count(line.train), count(line.good), count(line.bad), *_cells(table, line)]
        for line in (*table.lines, *table.means)
    ]
    return _markdown_table(heads, rows)


def _grids_as_markdown(shown: Sequence[Grid]) -> list[str]:
    parts = []
    for grid in shown:
        parts += [f"## {_plain(grid.title)}", _markdown_table(grid.heads, grid.rows)]
    return parts


def _cells(table: Table, line: Line) -> list[str]:
    """Published and measured, column by column."""
    cells = []
    for column in table.experiment.columns:
        here = line.lacking or number(line.measured[column.name], counted=counted(table))
        cells += [number(line.published[column.name]), here]
    return cells


def _markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(map(_plain, heads)), ["---"] * len(heads), *(list(map(_plain, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that no Markdown reader takes for a cell's or a line's end."""
    return " ".join(text.replace("|", "\\|").split())


def show_table(table: Table) -> RenderableType:
    """The table for the terminal, and below it what differs from the paper."""
    shown = _show_wide(table) if is_wide(table) else _show_as_the_paper(table)
    measures = "; ".join(dict.fromkeys(heading(column) for column in table.experiment.columns))
    words = f"{summarised(table)} {extent(table)}" if is_wide(table) else f"{measures}, percent"
    if not is_wide(table) and (len(table.experiment.seeds) > 1 or table.experiment.folds or extent(table)):
        words = f"{measures}. {summarised(table)} {extent(table)}"
    return Group(shown, Text(words.strip(), style="dim"), _facts(table.facts))


def _show_as_the_paper(table: Table) -> RichTable:
    experiment = table.experiment
    shown = _empty(experiment.title, "")
    shown.add_column("good\n+ bad", justify="right")
    for column in experiment.columns:
        shown.add_column(f"{column.name}\npaper", justify="right")
        shown.add_column("\nhere", justify="right", style="bold")
    for line in table.lines:
        shown.add_row(Text(line.name), _tested(line), *_cells(table, line), style="dim" if line.lacking else "")
    shown.add_section()
    for line in table.means:
        shown.add_row(Text(line.name), "", *_cells(table, line), style="bold")
    return shown


def _show_wide(table: Table) -> RichTable:
    """A line for each column; in it each row, or where there are too many the means alone: what is measured, and below
    it what is published."""
    lines = shown_lines(table) if is_turned(table) else shown_means(table)
    shown = _empty(table.experiment.title, "here, and below it the paper")
    for line in lines:
        tested = _tested(line)
        shown.add_column(f"{line.name}\n{tested}" if tested else line.name, justify="right")
    for column in shown_columns(table):
        cells = []
        for line in lines:
            cell = Text(number(line.measured[column.name], counted=counted(table)), style="bold")
            if there := line.published[column.name]:
                cell.append(f"\n{number(there)}", style="not bold dim")
            cells.append(cell)
        shown.add_row(Text(column.name), *cells)
    if lacking := [line.name for line in table.lines if line.lacking]:
        shown.caption = f"nothing for {', '.join(lacking)}"
    return shown


def show_figure(figure: Figure) -> RenderableType:
    """The curves for the terminal: how far the loss fell, and what the AUROCs had been before their end."""
    shown = _empty(figure.experiment.title, "")
    for head in ("loss\nfirst", "\nlast", "image AUROC\nbest (epoch)", "\nlast", "pixel AUROC\nbest (epoch)", "\nlast"):
        shown.add_column(head, justify="right")
    for curve in figure.curves:
        first, last = curve.points[0], curve.points[-1]
        cells = [f"{first.loss:.3g}", f"{last.loss:.3g}"]
        for name in ("image_auroc", "pixel_auroc"):
            best = curve.best(name)
            cells += (
                [f"{100 * getattr(best, name):.1f} ({best.epoch})", f"{100 * getattr(last, name):.1f}"]
                if best is not None
                else ["-", "-"]
            )
        shown.add_row(Text(curve.label), *cells)
    return Group(shown, *([Text(extent(figure), style="dim")] if extent(figure) else []), _facts(figure.facts))


def _facts(facts: Sequence[Fact]) -> RichTable:
    shown = _empty("how it was done", "")
    for head in ("paper", "here"):
        shown.add_column(head, overflow="fold")
    for fact in facts:
        what = f"{fact.what} ({fact.series})" if fact.series else fact.what
        shown.add_row(Text(what), Text(fact.paper), Text(fact.here))
    return shown


def _tested(line: Line) -> str:
    return "" if line.good is None else f"{line.good} + {line.bad}"


def _empty(title: str, first: str) -> RichTable:
    shown = RichTable(title=title, title_style="bold", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    shown.add_column(first, overflow="fold")
    return shown
