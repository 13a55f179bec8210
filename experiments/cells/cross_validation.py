"""The cells of a cross-validation: each fold tests the models that the other folds have trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgead.data.folds import Fold, draw
from edgead.data.samples import Dataset, Sample
from edgead.data.split import split_validation
from edgead.errors import TrainingError
from edgead.experiments.cells.cell import BaseCell, Cell, base_name, cell_name
from edgead.experiments.reading.config import Row, Series
from edgead.training.models.base import Foundation


def pool(dataset: Dataset, row: Row, seed: int) -> tuple[Sample, ...]:
    """The images of a category that take part: as many good and bad ones as the row says, or all there are."""
    return draw((*dataset.train, *dataset.test), row.good, row.bad, seed)


def lacks_for_folds(samples: Sequence[Sample], folds: int) -> str:
    """Why these images cannot be dealt into folds, or ""."""
    bad = sum(sample.anomalous for sample in samples)
    for count, words in ((len(samples) - bad, "good ones"), (bad, "defects")):
        if count < folds:
            return f"{count or 'no'} {words} for {folds} folds"
    return ""


def fold_cells(
    row: str, dataset: Dataset, folds: Sequence[Fold], seed: int, variants: Sequence[tuple[Series, Foundation | None]]
) -> list[Cell]:
    """Fold by fold the cells of every series. dataset: the category. variants: the series, each with its foundation.
    Raises TrainingError where two need different ones."""
    cells: list[Cell] = []
    for fold, (rest, tested) in enumerate(folds):
        good, bad = (tuple(sample for sample in rest if sample.anomalous == kind) for kind in (False, True))
        part = replace(dataset, train=good, test=tested)
        bases: dict[str, BaseCell] = {}
        for series, foundation in variants:
            base = None
            if foundation is not None:
                base = _base(foundation, row, fold, seed, part)
                base = bases.setdefault(base.name, base)
                if base.foundation != foundation:
                    what = f"the series need different models of {foundation.family} before them"
                    raise TrainingError(what, series.name, "put them into two files")
            name = cell_name(series, row, fold, seed)
            cells.append(Cell(name, series, seed, row, {dataset.categories[0]: row}, part, bad, fold, base))
    return cells


def _base(foundation: Foundation, row: str, fold: int, seed: int, part: Dataset) -> BaseCell:
    """It sees the good training images that the models on it will, and neither the fold nor those that they hold
    out."""
    seen, _ = split_validation(part.train, foundation.fit.validation, seed)
    name = base_name(foundation.family, row, fold, seed)
    return BaseCell(name, foundation, seed, row, fold, replace(part, train=seen, test=()))
