"""Experiments: a paper's table or figure, with the trainings that fill it, from a TOML file that is checked first."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.errors import DataError, EdgeadError
from edgead.experiments.section import Section, read_toml
from edgead.experiments.settings import typed
from edgead.training.fit import fit_options
from edgead.training.models import FAMILIES
from edgead.training.models import family as family_class
from edgead.training.models.extractor import FeatureOptions
from edgead.training.options import FitOptions

PROTOCOLS = ("unified", "separate", "one-class")
"""One model for all categories; one for each; one for each choice of normal classes."""
NOT_STATED = "not stated"
MEASURES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
    "pixel_aupro": "pixel AUPRO",
}


@dataclass(frozen=True)
class Source:
    """Where the numbers are from, and how the paper came to them. paper and place: the work, and its table or figure.
    data, weights, kept: the images, the backbone's weights and the epoch that was measured, in words."""

    paper: str
    place: str
    data: str
    weights: str
    kept: str


@dataclass(frozen=True)
class Series:
    """How models are trained. name: that of their folders. label: for readers. options, fit: what is said of the model
    and of the training; the family's defaults hold for the rest."""

    name: str
    label: str
    family: str
    protocol: str
    options: Mapping[str, Any]
    fit: Mapping[str, Any]

    def model_options(self) -> dict[str, Any]:
        """Every option of the model, with its value. Raises TrainingError for options that contradict each other."""
        options = family_class(self.family).Options(**self.options)
        return (options.resolve() if isinstance(options, FeatureOptions) else options).to_json()

    def fit_options(self) -> FitOptions:
        """Every option of the training. Features are kept on the disk, so that models of the same parts share them."""
        options = fit_options(self.family, **{"features": "disk", **self.fit})
        options.check()
        return options

    def check(self) -> None:
        """Raise TrainingError for options that cannot be."""
        self.model_options()
        self.fit_options()


@dataclass(frozen=True)
class Column:
    """A measure of a series. mean: what the paper states below its column, percent."""

    name: str
    series: str
    measure: str
    mean: float | None


@dataclass(frozen=True)
class Row:
    """A line of the table. key: the category's folder, or what the paper calls these normal classes. published: in
    percent, by column."""

    key: str
    name: str
    normal: tuple[int | str, ...] = ()
    published: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Experiment:
    """A table, or a figure of curves that are measured `every` so many epochs; then it has no columns, and its rows
    say which categories the paper has."""

    name: str
    title: str
    source: Source
    notes: tuple[str, ...]
    series: tuple[Series, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    every: int

    @property
    def one_class(self) -> bool:
        """Whether its rows are choices of normal classes, and not categories."""
        return self.series[0].protocol == "one-class"


def shipped() -> list[str]:
    """The names of the experiments that come with edgead."""
    folder = importlib.resources.files("edgead.experiments")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def find_experiment(name: str) -> Path:
    """The file that is meant by a path or by the name of a shipped one. Raises DataError where there is none."""
    if name in shipped():
        return Path(str(importlib.resources.files("edgead.experiments") / f"{name}.toml"))
    if Path(name).suffix != ".toml" and not Path(name).exists():
        raise DataError("there is no such experiment", name, f"give a .toml file, or one of {', '.join(shipped())}")
    return Path(name)


def read_experiment(path: Path) -> Experiment:
    """Read and check a file. Raises DataError or TrainingError, naming the file and the key, for whatever it should not
    hold."""
    top = read_toml(path)
    notes, every = top.texts("notes"), top.take("every", int, 0)
    experiment = Experiment(
        path.stem, top.take("title", str), _source(top.table("source")), notes, _series(top), (), (), every
    )
    columns = tuple(_column(name, table, experiment) for name, table in top.tables("columns"))
    rows = tuple(_row(key, table, experiment.one_class, columns) for key, table in top.tables("rows"))
    top.close()
    if every < 0 or bool(columns) == bool(every):
        raise top.fault(
            f"{len(columns)} columns, and curves every {every} epochs",
            "give columns for a table, or every for a figure",
        )
    if not rows:
        raise top.fault("there are no rows", "add [rows], one for each category or each choice of normal classes")
    if every and experiment.one_class:
        raise top.fault("a figure of one-class models", "make the protocol unified or separate")
    return Experiment(path.stem, experiment.title, experiment.source, notes, experiment.series, columns, rows, every)


def _source(table: Section) -> Source:
    words = (table.take(key, str) for key in ("paper", "place"))
    more = (table.take(key, str, NOT_STATED) for key in ("data", "weights", "kept"))
    source = Source(*words, *more)
    table.close()
    return source


def _series(top: Section) -> tuple[Series, ...]:
    common = (top.take("family", str, ""), top.table("options").values, top.table("fit").values)
    series = tuple(_one_series(name, table, *common) for name, table in top.tables("series"))
    if not series:
        raise top.fault("there are no series", "add [series.<name>] with a protocol")
    if len({one.protocol == "one-class" for one in series}) > 1:
        raise top.fault("one-class and other protocols", "put them into two files: their rows differ")
    return series


def _one_series(name: str, table: Section, family: str, options: Mapping[str, Any], fit: Mapping[str, Any]) -> Series:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise table.fault(f"{name!r} names folders", "use small letters, digits and dashes")
    found = table.choice("family", tuple(FAMILIES), family or None)
    protocol, label = table.choice("protocol", PROTOCOLS), table.take("label", str, name)
    options, fit = {**options, **table.table("options").values}, {**fit, **table.table("fit").values}
    table.close()
    where = f"{table.path}, {table.name}"
    series = Series(
        name,
        label,
        found,
        protocol,
        typed(family_class(found).Options, options, f"{where}, options"),
        typed(FitOptions, fit, f"{where}, fit"),
    )
    try:
        series.check()
    except EdgeadError as error:
        raise type(error)(error.what, where, error.todo) from error
    return series


def _column(name: str, table: Section, experiment: Experiment) -> Column:
    series = table.choice("series", [series.name for series in experiment.series])
    column = Column(name, series, table.choice("measure", tuple(MEASURES)), table.percent("mean"))
    table.close()
    return column


def _row(key: str, table: Section, one_class: bool, columns: tuple[Column, ...]) -> Row:
    normal = table.take("normal", list) if one_class else []
    if not all(type(label) in (int, str) for label in normal):
        raise table.fault(f"normal is {normal!r}", "make it a list of classes, by number or by name")
    if one_class and not normal:
        raise table.fault("no class is normal", "name some in normal")
    numbers = table.table("published")
    found = {column.name: number for column in columns if (number := numbers.percent(column.name)) is not None}
    numbers.close()
    row = Row(key, table.take("name", str, key), tuple(normal), found)
    table.close()
    return row
