"""Which models an experiment trains on a data folder, and which rows of its table the folder has no images for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgead.data.folds import stratified_folds
from edgead.data.labelled import read_labelled
from edgead.data.layout import read_dataset
from edgead.data.protocols import one_class
from edgead.data.samples import Dataset
from edgead.data.split import subset
from edgead.errors import DataError, TrainingError
from edgead.experiments.cells.cell import BaseCell, Cell, cell_name
from edgead.experiments.cells.cross_validation import fold_cells, lacks_for_folds, pool
from edgead.experiments.reading.config import UNIFIED, Experiment, Row

NO_DATA = "no data"
"""Why a row stays empty: the folder has no such category or classes."""
LEFT_OUT = "left out"
"""Why a row stays empty: a fast run does without it."""


@dataclass(frozen=True)
class Plan:
    """cells: in order, those of the first seed first. rows: those of the file, and behind them one for each category
    that it lacks. lacking: why a row stays empty. images: (to train, good to test, bad to test) for each row
    that has some, as the first seed draws them; in a cross-validation all train and test by turns, and the first is
    None."""

    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    lacking: Mapping[str, str]
    images: Mapping[str, tuple[int | None, int, int]]

    @property
    def bases(self) -> tuple[BaseCell, ...]:
        """What has to be trained before some of the cells, each once."""
        return tuple({cell.base.name: cell.base for cell in self.cells if cell.base}.values())


def plan(experiment: Experiment, data: Path, train: int | None, test: int | None) -> Plan:
    """Look at the data, and make the plan. train, test: images at most, drawn evenly from categories and defects; for
    one-class rows, from each row's. Raises DataError where nothing can be measured, TrainingError where a
    cross-validation should do with fewer images."""
    if experiment.one_class:
        found = _one_class(experiment, data, train, test)
    elif experiment.cross_validated:
        if train is not None or test is not None:
            what = "a cross-validation trains and tests on every image"
            raise TrainingError(what, "--train and --test", "change `good` and `bad` of the rows in a file of your own")
        found = _folds(experiment, data)
    else:
        found = _categories(experiment, data, train, test)
    if not found.cells:
        raise DataError("there are no labelled defects to measure on", data, "add test/<defect> folders, or `bad`")
    return found


def _categories(experiment: Experiment, data: Path, train: int | None, test: int | None) -> Plan:
    """Rows are categories: found by the folder's name, whatever its case and spaces."""
    whole = _without_left_out(experiment, read_dataset(data))
    row_of, rows, lacking = _rows(experiment, whole)
    cells: list[Cell] = []
    images: dict[str, tuple[int | None, int, int]] = {}
    for seed in experiment.seeds:
        dataset = subset(whole, train, test, seed)
        good, bad = (
            Counter(sample.category for sample in dataset.test if sample.anomalous == kind) for kind in (False, True)
        )
        trained = Counter(sample.category for sample in dataset.train)
        measured = {category: row for category, row in row_of.items() if good[category] and bad[category]}
        cells += _cells_of_categories(experiment, dataset, measured, seed)
        if not images:
            images = {row: (trained[category], good[category], bad[category]) for category, row in row_of.items()}
            lacking |= {
                row: "no good ones to test" if bad[category] else "no defects to test"
                for category, row in row_of.items()
                if category not in measured
            }
    return Plan(tuple(cells), rows, lacking, images)


def _cells_of_categories(
    experiment: Experiment, dataset: Dataset, measured: Mapping[str, str], seed: int
) -> Iterator[Cell]:
    for series in experiment.series if measured else ():
        for one in series.variants():
            if one.protocol == UNIFIED:
                yield Cell(cell_name(one, "", None, seed), one, seed, "", measured, dataset)
                continue
            for category, row in measured.items():
                name = cell_name(one, row, None, seed)
                yield Cell(name, one, seed, row, {category: row}, _only(dataset, category))


def _folds(experiment: Experiment, data: Path) -> Plan:
    """Rows are categories, each with so many of its images, and these are dealt into folds."""
    whole = _without_left_out(experiment, read_dataset(data))
    _check_names(whole)
    there = {_plain(category): category for category in whole.categories}
    category_of = {row.key: there.get(_plain(row.category or row.key), "") for row in experiment.rows}
    own = [_own(name) for name in whole.categories if name not in category_of.values()]
    category_of |= {row.key: row.key for row in own}
    lacking = {key: NO_DATA for key, category in category_of.items() if not category}
    lacking |= dict.fromkeys(experiment.left_out, LEFT_OUT)
    rows = (*experiment.rows, *own)
    cells: list[Cell] = []
    images: dict[str, tuple[int | None, int, int]] = {}
    for seed in experiment.seeds:
        variants = [(one, one.foundation(seed)) for series in experiment.series for one in series.variants()]
        for row in (row for row in rows if row.key not in lacking):
            dataset = _only(whole, category_of[row.key])
            pooled = pool(dataset, row, seed)
            bad = sum(sample.anomalous for sample in pooled)
            images.setdefault(row.key, (None, len(pooled) - bad, bad))
            if reason := lacks_for_folds(pooled, experiment.folds):
                lacking[row.key] = reason
            else:
                folds = stratified_folds(pooled, experiment.folds, seed)
                cells += fold_cells(row.key, dataset, folds, seed, variants)
    return Plan(tuple(cells), rows, lacking, images)


def _rows(experiment: Experiment, dataset: Dataset) -> tuple[dict[str, str], tuple[Row, ...], dict[str, str]]:
    """The row of each category, all rows, and why some are empty already."""
    _check_names(dataset)
    by_name = {_plain(row.key): row.key for row in experiment.rows}
    row_of = {category: by_name.get(_plain(category), category) for category in dataset.categories}
    own = [_own(category) for category, row in row_of.items() if row == category]
    rows = (*experiment.rows, *(row for row in own if row.key not in by_name.values()))
    lacking = {row.key: NO_DATA for row in rows if row.key not in row_of.values()}
    return row_of, rows, lacking | dict.fromkeys(experiment.left_out, LEFT_OUT)


def _own(category: str) -> Row:
    """The row of a category that the file does not have."""
    return Row(category, f"{category} (not in the paper)", own=True)


def _without_left_out(experiment: Experiment, dataset: Dataset) -> Dataset:
    """The data without the categories that a fast run leaves out, those that the paper lacks among them."""
    if not experiment.kept:
        return dataset
    kept = {_plain(row.category or row.key) for row in experiment.rows if row.key in experiment.kept}
    return _only(dataset, *(category for category in dataset.categories if _plain(category) in kept))


def _check_names(dataset: Dataset) -> None:
    """Refuse two categories that are called almost the same: they would fill the same row, and the same folder."""
    seen: dict[str, str] = {}
    for category in dataset.categories:
        other = seen.setdefault(_plain(category), category)
        if other != category:
            raise DataError(f"{other} and {category} are called the same", dataset.root, "rename one of the folders")


def _only(dataset: Dataset, *categories: str) -> Dataset:
    train, test = (
        tuple(sample for sample in part if sample.category in categories) for part in (dataset.train, dataset.test)
    )
    return replace(dataset, categories=categories, train=train, test=test)


def _one_class(experiment: Experiment, data: Path, train: int | None, test: int | None) -> Plan:
    """Rows are choices of normal classes; one is empty where the data lacks one of its classes."""
    names = read_labelled(data).names
    known = {*names, *names.values(), *map(str, names)}
    lacking = {row.key: NO_DATA for row in experiment.rows if not known.issuperset(row.normal)}
    lacking |= dict.fromkeys(experiment.left_out, LEFT_OUT)
    whole = {row.key: one_class(data, row.normal) for row in experiment.rows if row.key not in lacking}
    cells: list[Cell] = []
    images: dict[str, tuple[int | None, int, int]] = {}
    for seed in experiment.seeds:
        drawn = {key: _draw(dataset, train, test, seed) for key, dataset in whole.items()}
        for key, dataset in drawn.items():
            bad = sum(sample.anomalous for sample in dataset.test)
            images.setdefault(key, (len(dataset.train), len(dataset.test) - bad, bad))
        cells += (
            Cell(cell_name(one, key, None, seed), one, seed, key, {dataset.categories[0]: key}, dataset)
            for series in experiment.series
            for one in series.variants()
            for key, dataset in drawn.items()
        )
    return Plan(tuple(cells), experiment.rows, lacking, images)


def _draw(dataset: Dataset, train: int | None, test: int | None, seed: int) -> Dataset:
    """As `subset`, without looking at all images where all are taken."""
    return dataset if train is None and test is None else subset(dataset, train, test, seed)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
