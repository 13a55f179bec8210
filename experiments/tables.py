"""A paper's table with our own numbers beside the published ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgead.experiments.config import MEASURES, Column, Experiment, Row
from edgead.experiments.facts import Fact
from edgead.experiments.plan import Plan
from edgead.experiments.runner import Outcome

NOT_MEASURED = "–"


@dataclass(frozen=True)
class Line:
    """A row of the table, or a mean. train, good, bad: its images; None where they are not counted. lacking: why there
    is nothing, or "". published, measured: percent, by column; None where there is nothing."""

    name: str
    train: int | None
    good: int | None
    bad: int | None
    lacking: str
    published: dict[str, float | None]
    measured: dict[str, float | None]

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Table:
    """lines: the paper's rows, then those that it does not have. means: over the paper's rows, all of them or,
    where some lack data, those that have it."""

    experiment: Experiment
    lines: tuple[Line, ...]
    means: tuple[Line, ...]
    facts: tuple[Fact, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything but the pictures; what was not published or not measured is null."""
        experiment = self.experiment
        return {
            "experiment": experiment.name,
            "title": experiment.title,
            "source": dict(vars(experiment.source)),
            "columns": [dict(vars(column)) for column in experiment.columns],
            "rows": [line.to_json() for line in self.lines],
            "means": [line.to_json() for line in self.means],
            "facts": [fact.to_json() for fact in self.facts],
            "notes": list(experiment.notes),
        }


def fill(experiment: Experiment, plan: Plan, outcomes: Sequence[Outcome], facts: Sequence[Fact]) -> Table:
    """The table of an experiment that was run. A mean is the macro mean: each row counts the same, however many images
    it has."""
    measured: dict[tuple[str, str], float] = {}
    for column in experiment.columns:
        for outcome in outcomes:
            if outcome.training.series.name == column.series:
                for category, row in outcome.training.rows.items():
                    value = getattr(outcome.evaluation.categories[category], column.measure)
                    measured[row, column.name] = 100 * value
    lines = tuple(_line(row, experiment.columns, plan, measured) for row in plan.rows)
    return Table(experiment, lines, _means(experiment, lines), tuple(facts))


def _line(row: Row, columns: Sequence[Column], plan: Plan, measured: dict[tuple[str, str], float]) -> Line:
    train, good, bad = plan.images.get(row.key, (None, None, None))
    published = {column.name: (row.published or {}).get(column.name) for column in columns}
    found = {column.name: measured.get((row.key, column.name), math.nan) for column in columns}
    known = {name: None if math.isnan(value) else value for name, value in found.items()}
    return Line(row.name, train, good, bad, plan.lacking.get(row.key, ""), published, known)


def _means(experiment: Experiment, lines: Sequence[Line]) -> tuple[Line, ...]:
    """The mean that the paper states; and where rows lack data, the mean of the others, both there and here. Rows that
    the paper does not have count in neither."""
    names = [column.name for column in experiment.columns]
    of_paper = lines[: len(experiment.rows)]
    there = [line for line in of_paper if not line.lacking]
    whole = len(there) == len(of_paper)
    stated = {column.name: column.mean for column in experiment.columns}
    means = [_mean_line("Mean", stated, {name: _mean(of_paper, name) if whole else None for name in names})]
    if there and not whole:
        published = {name: _mean_of([line.published[name] for line in there]) for name in names}
        means.append(_mean_line(f"Mean of {len(there)}", published, {name: _mean(there, name) for name in names}))
    own = lines[len(experiment.rows) :]
    if len([line for line in own if not line.lacking]) > 1 and not there:
        nothing: dict[str, float | None] = dict.fromkeys(names)
        measured = {name: _mean([line for line in own if not line.lacking], name) for name in names}
        means.append(_mean_line("Mean of your own", nothing, measured))
    return tuple(means)


def _mean_line(name: str, published: dict[str, float | None], measured: dict[str, float | None]) -> Line:
    return Line(name, None, None, None, "", published, measured)


def _mean(lines: Sequence[Line], name: str) -> float | None:
    return _mean_of([line.measured[name] for line in lines])


def _mean_of(values: Sequence[float | None]) -> float | None:
    """The mean, unless a value is missing."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def heading(column: Column) -> str:
    """A column and what it measures."""
    return f"{column.name}: {MEASURES[column.measure]}"


def number(value: float | None) -> str:
    """Percent with the papers' one decimal."""
    return NOT_MEASURED if value is None else f"{value:.1f}"


def count(value: int | None) -> str:
    """A number of images."""
    return "" if value is None else str(value)
