"""The numbers of a table from the records of its cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgead.experiments.cells.cell import Cell
from edgead.experiments.cells.record import Record
from edgead.experiments.reading.config import Column, Experiment
from edgead.experiments.reading.number import Number, summary


@dataclass(frozen=True)
class Done:
    """A cell that is done, with its record."""

    cell: Cell
    record: Record


@dataclass(frozen=True)
class Values:
    """One row of one column: what each seed gave, percent; in a cross-validation a value for each fold. best: the value
    of the option that was tried, or ""."""

    by_seed: Mapping[int, Sequence[float]]
    best: str = ""

    @property
    def mean(self) -> float:
        every = self.every
        return sum(every) / len(every)

    @property
    def every(self) -> list[float]:
        return [value for values in self.by_seed.values() for value in values]


@dataclass(frozen=True)
class Tried:
    """All that a column chose from: its option, and for each of its values the numbers by row."""

    column: str
    option: str
    numbers: Mapping[str, Mapping[str, Number]]


def collect(column: Column, done: Sequence[Done]) -> dict[str, dict[str, Values]]:
    """By row and by the value that was tried ("" where none was): everything measured for a column."""
    found: dict[tuple[str, str], defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in done:
        if one.cell.series.name == column.series:
            for category, row in one.cell.rows.items():
                value = one.record.categories[category][column.measure]
                if value is not None:
                    found[row, one.cell.series.tried][one.cell.seed].append(100 * value)
    rows: dict[str, dict[str, Values]] = {}
    for (row, tried), by_seed in found.items():
        rows.setdefault(row, {})[tried] = Values(by_seed, tried)
    return rows


def best(variants: Mapping[str, Values]) -> Values:
    """Of those with the most values the highest mean, the first of several: fewer folds are another test. Where one
    alone has as many, nothing was chosen, and its `best` is ""."""
    most = max(len(values.every) for values in variants.values())
    rivals = [values for values in variants.values() if len(values.every) == most]
    found = max(rivals, key=lambda values: values.mean)
    return found if len(rivals) > 1 else replace(found, best="")


def number_of(values: Values, experiment: Experiment) -> Number:
    """Their mean and spread."""
    found = summary(values.every, len(experiment.seeds) * max(experiment.folds, 1), values.best)
    assert found is not None  # there are no values without any
    return found


def mean_of_rows(rows: Sequence[Values | None], experiment: Experiment) -> Number | None:
    """The macro mean: each row counts the same. For each seed the mean over the rows; over the seeds mean and spread.
    None unless every row has something, of the same seed."""
    means = []
    for seed in experiment.seeds:
        values = [row.by_seed.get(seed, []) if row else [] for row in rows]
        if rows and all(values):
            means.append(sum(sum(one) / len(one) for one in values) / len(values))
    return summary(means, len(experiment.seeds))
