"""A table that is too wide for a page, turned: one line per column; or, where that is too wide as well, long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgead.experiments.reading.config import Column
from edgead.experiments.showing.tables import Line, Table, count, number

_COLUMNS = 6
"""More of them are not shown side by side."""
_LINES = 8
"""More rows and means are not shown side by side."""


@dataclass(frozen=True)
class Grid:
    """Plain text in rows and columns."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def is_wide(table: Table) -> bool:
    """Whether it has too many columns to be shown as the paper does."""
    return len(table.experiment.columns) > _COLUMNS


def is_turned(table: Table) -> bool:
    """Whether a wide table is shown with one line per column."""
    return len(shown_lines(table)) <= _LINES


def shown_lines(table: Table) -> list[Line]:
    """The rows that have something, and the means that say more than they do."""
    rows = [line for line in table.lines if not line.lacking]
    return [*rows, *(line for line in shown_means(table) if any(line.published.values()) or len(rows) > 1)]


def shown_means(table: Table) -> list[Line]:
    """The means that are published or measured."""
    return [line for line in table.means if any((*line.published.values(), *line.measured.values()))]


def shown_columns(table: Table) -> list[Column]:
    """The columns that have something measured; all where none has."""
    columns = table.experiment.columns
    known = [column for column in columns if any(line.measured[column.name] for line in (*table.lines, *table.means))]
    return known or list(columns)


def counted(table: Table) -> bool:
    """Whether a spread says of how many values it is: those of the seeds. Of folds it is known, and a number in
    parentheses is the best option there, as papers print it."""
    return not table.experiment.folds


def grids(table: Table) -> list[Grid]:
    """A wide table: its images, and its numbers."""
    return [_images(table), *([_turned(table)] if is_turned(table) else [_means(table), _long(table)])]


def _images(table: Table) -> Grid:
    rows = tuple((line.name, *map(count, (line.train, line.good, line.bad)), line.lacking) for line in table.lines)
    return Grid("Images", ("", "train", "good", "bad", ""), rows)


def _turned(table: Table) -> Grid:
    return _by_column(table, shown_lines(table), "Published and measured")


def _means(table: Table) -> Grid:
    return _by_column(table, shown_means(table), "Means over the rows")


def _by_column(table: Table, lines: Sequence[Line], title: str) -> Grid:
    """A line for each column, and in it what is published and measured of each of `lines`; nothing of what the paper
    has not."""
    heads, rows = [""], [[column.name] for column in shown_columns(table)]
    for line in lines:
        for words, numbers in ((f"{line.name}, paper", line.published), (f"{line.name}, here", line.measured)):
            if any(numbers.values()) or numbers is line.measured:
                heads.append(words)
                for row in rows:
                    row.append(number(numbers[row[0]], counted=counted(table)))
    return Grid(title, tuple(heads), tuple(map(tuple, rows)))


def _long(table: Table) -> Grid:
    """A line for each number."""
    rows = [
        (line.name, column.name, number(there), number(here, counted=counted(table)))
        for line in table.lines
        for column in shown_columns(table)
        for there, here in [(line.published[column.name], line.measured[column.name])]
        if there or here
    ]
    return Grid("Row by row", ("row", "column", "paper", "here"), tuple(rows))


def tried_grid(table: Table) -> Grid | None:
    """What the columns with a best option chose from; None where none of them has been measured."""
    names = [line.name for line in table.lines if not line.lacking]
    rows = [
        (f"{one.column}, {one.option} {value}", *(number(numbers.get(name), counted=False) for name in names))
        for one in table.tried
        if any(numbers.get(name) for numbers in one.numbers.values() for name in names)
        for value, numbers in one.numbers.items()
    ]
    return Grid("Every option that was tried", ("", *names), tuple(rows)) if rows else None
