"""Which models an experiment trains on a data folder, and which rows of its table the folder has no images for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgead.data.labelled import read_labelled
from edgead.data.layout import read_dataset
from edgead.data.protocols import one_class
from edgead.data.samples import Dataset
from edgead.data.split import subset
from edgead.errors import DataError
from edgead.experiments.config import Experiment, Row, Series

NO_DATA = "no data"
"""Why a row stays empty: the folder has no such category or classes."""


@dataclass(frozen=True)
class Training:
    """One model to train. name: its folder. dataset: what it trains and is tested on. rows: the row that each of its
    categories fills."""

    name: str
    series: Series
    dataset: Dataset
    rows: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """trainings: in order. rows: those of the paper, and behind them one for each category that the paper lacks.
    lacking: why a row stays empty. images: (to train, good to test, bad to test) for each row that has some."""

    trainings: tuple[Training, ...]
    rows: tuple[Row, ...]
    lacking: Mapping[str, str]
    images: Mapping[str, tuple[int, int, int]]


def plan(experiment: Experiment, data: Path, train: int | None, test: int | None, seed: int) -> Plan:
    """Look at the data, and make the plan. train, test: images at most, drawn evenly from categories and defects; for
    one-class rows, from each row's. Raises DataError where nothing can be measured."""
    if experiment.one_class:
        found = _one_class(experiment, data, train, test, seed)
    else:
        found = _categories(experiment, subset(read_dataset(data), train, test, seed))
    if not found.trainings:
        raise DataError("there are no labelled defects to measure on", data, "add test/<defect> folders, or `bad`")
    return found


def _categories(experiment: Experiment, dataset: Dataset) -> Plan:
    """Rows are categories: found by the folder's name, whatever its case and spaces."""
    _check_names(dataset)
    by_name = {_plain(row.key): row.key for row in experiment.rows}
    row_of = {category: by_name.get(_plain(category), category) for category in dataset.categories}
    own = [
        Row(category, f"{category} (not in the paper)")
        for category in dataset.categories
        if row_of[category] == category
    ]
    rows = (*experiment.rows, *(row for row in own if row.key not in by_name.values()))
    good, bad = (
        Counter(sample.category for sample in dataset.test if sample.anomalous == kind) for kind in (False, True)
    )
    trained = Counter(sample.category for sample in dataset.train)
    measured = {category: row for category, row in row_of.items() if good[category] and bad[category]}
    lacking = {row.key: NO_DATA for row in rows if row.key not in row_of.values()}
    lacking |= {
        row: "no good ones to test" if bad[category] else "no defects to test"
        for category, row in row_of.items()
        if category not in measured
    }
    trainings: list[Training] = []
    for series in experiment.series if measured else ():
        if series.protocol == "unified":
            trainings.append(Training(series.name, series, dataset, measured))
        else:
            trainings += (
                Training(f"{series.name}-{_slug(category)}", series, _only(dataset, category), {category: row})
                for category, row in measured.items()
            )
    images = {row: (trained[category], good[category], bad[category]) for category, row in row_of.items()}
    return Plan(tuple(trainings), rows, lacking, images)


def _check_names(dataset: Dataset) -> None:
    """Refuse two categories that are called almost the same: they would fill the same row, and the same folder."""
    seen: dict[str, str] = {}
    for category in dataset.categories:
        other = seen.setdefault(_plain(category), category)
        if other != category:
            raise DataError(f"{other} and {category} are called the same", dataset.root, "rename one of the folders")


def _only(dataset: Dataset, category: str) -> Dataset:
    train, test = (
        tuple(sample for sample in part if sample.category == category) for part in (dataset.train, dataset.test)
    )
    return replace(dataset, categories=(category,), train=train, test=test)


def _one_class(experiment: Experiment, data: Path, train: int | None, test: int | None, seed: int) -> Plan:
    """Rows are choices of normal classes; one is empty where the data lacks one of its classes."""
    names = read_labelled(data).names
    known = {*names, *names.values(), *map(str, names)}
    trainings: list[Training] = []
    lacking, images = {}, {}
    for row in experiment.rows:
        if not known.issuperset(row.normal):
            lacking[row.key] = NO_DATA
            continue
        dataset = subset(one_class(data, row.normal), train, test, seed)
        bad = sum(sample.anomalous for sample in dataset.test)
        images[row.key] = (len(dataset.train), len(dataset.test) - bad, bad)
        trainings += (
            Training(f"{series.name}-{_slug(row.key)}", series, dataset, {dataset.categories[0]: row.key})
            for series in experiment.series
        )
    return Plan(tuple(trainings), experiment.rows, lacking, images)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _slug(name: str) -> str:
    """A name as part of a folder's."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_.") or "_"
