"""Wide tables: turned where that is narrower, else long; nothing is lost either way."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from edgead.experiments.reading.config import Column, Experiment, Row, Series, Source
from edgead.experiments.reading.number import Number
from edgead.experiments.showing.layout import grids, is_turned, is_wide, tried_grid
from edgead.experiments.showing.measured import Tried
from edgead.experiments.showing.printing import as_markdown, show_table
from edgead.experiments.showing.tables import Line, Table


def table_of(columns, rows, lacking=(), tried=()):
    """A table in which column c of row r has r + c / 100 published and as much and 50 measured."""
    series = (Series("one", "one", "lamp", "separate", {}, {}),)
    names = [f"c{place}" for place in range(columns)]
    experiment = Experiment(
        "wide", "Wide", Source("A paper", "table 1", "", "", ""), (), series,
        tuple(Column(name, "one", "image_auroc", Number(7.0)) for name in names),
        tuple(Row(f"r{row}", f"r{row}") for row in range(rows)), 0,
    )  # fmt: skip
    lines = []
    for row in range(rows):
        there = {name: Number(row + place / 10) for place, name in enumerate(names)}
        here = {name: Number(50 + row + place / 10, 1.5, 3, 3) for place, name in enumerate(names)}
        empty = row in lacking
        lines.append(
            Line(f"r{row}", 9, 4, 5, "no data" if empty else "", there, dict.fromkeys(names) if empty else here)
        )
    mean = Line("Mean", None, None, None, "", {name: Number(7.0) for name in names}, dict.fromkeys(names))
    return Table(experiment, tuple(lines), (mean,), tried, (), (), (3, 3), False)


@pytest.mark.parametrize(("columns", "wide"), [(6, False), (7, True)])
def test_six_columns_are_shown_as_in_the_paper(columns, wide):
    assert is_wide(table_of(columns, 3)) is wide


def test_a_turned_table_has_a_line_for_each_column():
    table = table_of(7, 5, lacking=[2])
    assert is_turned(table)
    images, numbers = grids(table)
    assert images.rows[2] == ("r2", "9", "4", "5", "no data")
    assert numbers.heads[:3] == ("", "r0, paper", "r0, here") and not any("r2" in head for head in numbers.heads)
    assert numbers.rows[6][:3] == ("c6", "0.6", "50.6 ± 1.5 (3)")
    assert numbers.rows[6][-2:] == ("7.0", "–")


def test_a_long_table_has_a_line_for_each_number():
    table = table_of(8, 12)
    assert not is_turned(table)
    _, means, long = grids(table)
    assert means.rows[0] == ("c0", "7.0", "–")
    assert len(long.rows) == 96 and long.rows[95] == ("r11", "c7", "11.7", "61.7 ± 1.5 (3)")


@pytest.mark.parametrize(("columns", "rows"), [(3, 3), (7, 5), (8, 12)])
def test_markdown_has_every_number_and_whole_lines(columns, rows):
    tried = (Tried("c0", "points", {"1": {"r0": Number(33.3, 1.0, 5, 5)}, "2": {}}),)
    text = as_markdown(table_of(columns, rows, tried=tried))
    for row in range(rows):
        assert f"{50 + row + (columns - 1) / 10:.1f} ± 1.5 (3)" in text
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables)
    assert "| c0, points 1 | 33.3 ± 1.0 |" in text and "| c0, points 2 | – |" in text


@pytest.mark.parametrize(("columns", "rows", "shown"), [(3, 3, "50.2"), (7, 5, "54.6"), (8, 12, "7.0")])
def test_the_terminal_shows_something_readable(columns, rows, shown):
    console = Console(file=StringIO(), width=150)
    console.print(show_table(table_of(columns, rows)))
    assert shown in console.file.getvalue()


def test_nothing_is_tried_without_an_option():
    assert tried_grid(table_of(3, 3)) is None
