"""One training and its measurement: the unit that is kept, repeated by nobody, and shared out to processes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgead.data.samples import Dataset, Sample
from edgead.experiments.reading.config import Series
from edgead.training.models.base import Foundation
from edgead.training.options import FitOptions


@dataclass(frozen=True)
class Cell:
    """name: its folder. series: of which model it is, with the value that is tried. seed: of everything random. row:
    the one that it fills, or "" for all. rows: the row that each of its categories fills. dataset: what it trains and
    is tested on. defects: the bad parts that it learns from. fold: which one tests it, from 0, or None. base: the cell
    whose model has to be there before this one trains."""

    name: str
    series: Series
    seed: int
    row: str
    rows: Mapping[str, str]
    dataset: Dataset
    defects: tuple[Sample, ...] = ()
    fold: int | None = None
    base: BaseCell | None = None

    @property
    def group(self) -> str:
        """Cells of one group are done by one process: those of a fold, since they share a base."""
        return self.name if self.fold is None else base_name("", self.row, self.fold, self.seed)

    @property
    def family(self) -> str:
        """Of the model."""
        return self.series.family

    @property
    def options(self) -> Mapping[str, Any]:
        """Those of the model that somebody has given; the family's hold for the rest."""
        return self.series.options

    @property
    def fit(self) -> FitOptions:
        """How it is trained."""
        return self.series.fit_options(self.seed)

    @property
    def place(self) -> dict[str, Any]:
        """Which cell of the experiment it is, as its record says."""
        series = self.series
        return {"series": series.name, "tried": series.tried, "row": self.row, "fold": self.fold, "seed": self.seed}


@dataclass(frozen=True)
class BaseCell:
    """A training alone: the foundation of other cells. dataset: its images, of good parts, and none to test."""

    name: str
    foundation: Foundation
    seed: int
    row: str
    fold: int | None
    dataset: Dataset

    @property
    def group(self) -> str:
        """As that of the cells that need it."""
        return base_name("", self.row, self.fold, self.seed)

    @property
    def family(self) -> str:
        return self.foundation.family

    @property
    def options(self) -> Mapping[str, Any]:
        return self.foundation.options

    @property
    def fit(self) -> FitOptions:
        return self.foundation.fit

    @property
    def defects(self) -> tuple[Sample, ...]:
        """None: it learns from good parts alone."""
        return ()

    @property
    def place(self) -> dict[str, Any]:
        return {"series": self.family, "tried": "", "row": self.row, "fold": self.fold, "seed": self.seed}


AnyCell = Cell | BaseCell


def cell_name(series: Series, row: str, fold: int | None, seed: int) -> str:
    """<series>[-<option><value>]-<row>[-fold<k>]-seed<s>; a unified model has no row."""
    names = [series.name, series.variant, slug(row) if row else ""]
    return _joined(names, fold, seed)


def base_name(family: str, row: str, fold: int | None, seed: int) -> str:
    """<family>-<row>[-fold<k>]-seed<s>."""
    return _joined([family, slug(row)], fold, seed)


def _joined(names: list[str], fold: int | None, seed: int) -> str:
    numbers = ["" if fold is None else f"fold{fold}", f"seed{seed}"]
    return "-".join(part for part in (*names, *numbers) if part)


def slug(name: str) -> str:
    """A name as part of a folder's."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_.") or "_"
