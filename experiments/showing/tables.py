"""A paper's table with our own numbers beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgead.experiments.cells.plan import Plan
from edgead.experiments.cells.record import Record
from edgead.experiments.reading.config import MEASURES, Column, Experiment
from edgead.experiments.reading.number import Number, summary
from edgead.experiments.showing.document import document
from edgead.experiments.showing.facts import Fact
from edgead.experiments.showing.measured import Done, Tried, Values, best, collect, mean_of_rows, number_of

NOT_MEASURED = "–"


@dataclass(frozen=True)
class Line:
    """A row of the table, or a mean. train, good, bad: its images; None where they are not counted. lacking: why there
    is nothing, or "". published, measured: by column; None where there is nothing."""

    name: str
    train: int | None
    good: int | None
    bad: int | None
    lacking: str
    published: Mapping[str, Number | None]
    measured: Mapping[str, Number | None]

    def to_json(self) -> dict[str, Any]:
        found = dict(vars(self))
        for key in ("published", "measured"):
            found[key] = {name: number and number.to_json() for name, number in found[key].items()}
        return found


@dataclass(frozen=True)
class Table:
    """lines: the rows of the file, then those of the data that it does not have. means: over the paper's rows, all of
    them or, where some lack data, those that have it. tried: what columns chose from. records: of every cell that is
    done, and of what was trained before them; cells: how many there are to do. fast: whether it is a fast run."""

    experiment: Experiment
    lines: tuple[Line, ...]
    means: tuple[Line, ...]
    tried: tuple[Tried, ...]
    facts: tuple[Fact, ...]
    records: tuple[Record, ...]
    cells: tuple[int, int]
    fast: bool

    def to_json(self) -> dict[str, Any]:
        """Everything but the pictures; what was not published or not measured is null."""
        experiment = self.experiment
        return {
            **document(experiment, self.facts, self.records, self.cells, fast=self.fast),
            "folds": experiment.folds,
            "columns": [
                {**vars(column), "mean": column.mean and column.mean.to_json()} for column in experiment.columns
            ],
            "rows": [line.to_json() for line in self.lines],
            "means": [line.to_json() for line in self.means],
            "tried": [
                {
                    "column": one.column,
                    "option": one.option,
                    "values": {
                        value: {row: number.to_json() for row, number in numbers.items()}
                        for value, numbers in one.numbers.items()
                    },
                }
                for one in self.tried
            ],
        }


def fill(
    experiment: Experiment,
    plan: Plan,
    done: Sequence[Done],
    bases: Sequence[Record],
    facts: Sequence[Fact],
    *,
    fast: bool = False,
) -> Table:
    """The table of an experiment from the cells that are done. bases: the records of what was trained before them."""
    every = {column.name: collect(column, done) for column in experiment.columns}
    chosen = {name: {row: best(variants) for row, variants in rows.items()} for name, rows in every.items()}
    lines = []
    for row in plan.rows:
        train, good, bad = plan.images.get(row.key, (None, None, None))
        published = {column.name: row.published.get(column.name) for column in experiment.columns}
        measured = {name: _number(rows.get(row.key), experiment) for name, rows in chosen.items()}
        lines.append(Line(row.name, train, good, bad, plan.lacking.get(row.key, ""), published, measured))
    return Table(
        experiment,
        tuple(lines),
        _means(experiment, plan, lines, chosen),
        tuple(_tried(experiment, plan, every)),
        tuple(facts),
        (*bases, *(one.record for one in done)),
        (len(done), len(plan.cells)),
        fast,
    )


def _number(values: Values | None, experiment: Experiment) -> Number | None:
    return number_of(values, experiment) if values else None


def _tried(experiment: Experiment, plan: Plan, every: Mapping[str, Mapping[str, Mapping[str, Values]]]) -> list[Tried]:
    options = {series.name: series.best_of for series in experiment.series}
    found = []
    for column in experiment.columns:
        best_of = options[column.series]
        if best_of is not None:
            rows = every[column.name]
            numbers = {
                str(value): {
                    row.name: replace(number_of(rows[row.key][str(value)], experiment), best="")
                    for row in plan.rows
                    if str(value) in rows.get(row.key, {})
                }
                for value in best_of.values
            }
            found.append(Tried(column.name, best_of.option, numbers))
    return found


def _means(
    experiment: Experiment, plan: Plan, lines: Sequence[Line], chosen: Mapping[str, Mapping[str, Values]]
) -> tuple[Line, ...]:
    """The mean that the paper states; and where rows lack data, the mean of the others, both there and here. Rows that
    the paper does not have count in neither."""
    columns = experiment.columns
    keys = {id(line): row.key for row, line in zip(plan.rows, lines, strict=True)}

    def measured(over: Sequence[Line]) -> dict[str, Number | None]:
        return {
            column.name: mean_of_rows([chosen[column.name].get(keys[id(line)]) for line in over], experiment)
            for column in columns
        }

    nothing: dict[str, Number | None] = {column.name: None for column in columns}
    ours = {row.key for row in plan.rows if row.own}
    of_paper = [line for line in lines if keys[id(line)] not in ours]
    own = [line for line in lines if keys[id(line)] in ours and not line.lacking]
    there = [line for line in of_paper if not line.lacking]
    whole = len(there) == len(of_paper)
    stated = {column.name: column.mean for column in columns}
    means = [_mean_line("Mean", stated, measured(of_paper) if whole else nothing)]
    if there and not whole:
        published = {column.name: _mean_published(there, column) for column in columns}
        means.append(_mean_line(f"Mean of {len(there)}", published, measured(there)))
    if len(own) > 1 and not there:
        means.append(_mean_line("Mean of your own", nothing, measured(own)))
    return tuple(means)


def _mean_line(name: str, published: Mapping[str, Number | None], measured: Mapping[str, Number | None]) -> Line:
    return Line(name, None, None, None, "", published, measured)


def _mean_published(lines: Sequence[Line], column: Column) -> Number | None:
    """The mean of what the paper has, unless a value is missing."""
    known = [number.mean for line in lines if (number := line.published[column.name])]
    found = summary(known) if len(known) == len(lines) else None
    return found and Number(found.mean)


def heading(column: Column) -> str:
    """A column and what it measures."""
    return f"{column.name}: {MEASURES[column.measure]}"


def number(value: Number | None, *, counted: bool = True) -> str:
    """Percent with the papers' one decimal, and its spread."""
    return NOT_MEASURED if value is None else value.text(counted)


def count(value: int | None) -> str:
    """A number of images."""
    return "" if value is None else str(value)
