"""A paper's figure: what becomes of detectors while they train."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgead.experiments.cells.curves import Point, mean_of
from edgead.experiments.cells.plan import Plan
from edgead.experiments.cells.record import Record
from edgead.experiments.reading.config import Experiment
from edgead.experiments.showing.document import document
from edgead.experiments.showing.facts import Fact


@dataclass(frozen=True)
class Curve:
    """One panel: a series, its models' points as means over them."""

    name: str
    label: str
    models: int
    points: tuple[Point, ...]

    def best(self, measure: str) -> Point | None:
        """The point at which a measure was highest, the first of several; None where nothing was measured."""
        known = [point for point in self.points if not math.isnan(getattr(point, measure))]
        return max(known, key=lambda point: float(getattr(point, measure)), default=None)

    def to_json(self) -> dict[str, Any]:
        points = [point.to_json() for point in self.points]
        return {"name": self.name, "label": self.label, "models": self.models, "points": points}


@dataclass(frozen=True)
class Figure:
    """curves: one for each series. lacking: the paper's categories that the data does not have. records, cells,
    fast: as a table has them."""

    experiment: Experiment
    curves: tuple[Curve, ...]
    lacking: tuple[str, ...]
    facts: tuple[Fact, ...]
    records: tuple[Record, ...]
    cells: tuple[int, int]
    fast: bool

    def to_json(self) -> dict[str, Any]:
        """The data of the drawing. Values 0..1, null where there was nothing to measure."""
        experiment = self.experiment
        return {
            **document(experiment, self.facts, self.records, self.cells, fast=self.fast),
            "every": experiment.every,
            "curves": [curve.to_json() for curve in self.curves],
            "no_data": list(self.lacking),
        }


def draw(
    experiment: Experiment, plan: Plan, records: Sequence[Record], facts: Sequence[Fact], *, fast: bool = False
) -> Figure:
    """The figure of an experiment from the cells that are done; a series of which none is has no curve."""
    curves = []
    for series in experiment.series:
        points = [list(map(Point.from_json, record.points)) for record in records if record.series == series.name]
        if points:
            curves.append(Curve(series.name, series.label, len(points), tuple(mean_of(points))))
    lacking = tuple(row.name for row in plan.rows if row.key in plan.lacking)
    cells = (len(records), len(plan.cells))
    return Figure(experiment, tuple(curves), lacking, tuple(facts), tuple(records), cells, fast)
