"""An experiment from a TOML file that is checked first, key by key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgead.errors import EdgeadError
from edgead.experiments.reading.config import (
    F1,
    FOLDS,
    MEASURES,
    NOT_STATED,
    ONE_CLASS,
    PROTOCOLS,
    BestOf,
    Column,
    Experiment,
    Fast,
    Row,
    Series,
    Source,
)
from edgead.experiments.reading.section import Section, read_toml
from edgead.experiments.reading.settings import has, typed
from edgead.training.models import FAMILIES
from edgead.training.models import family as family_class
from edgead.training.models.base import DefectLearner
from edgead.training.options import FitOptions

_ALONE = {ONE_CLASS: "one-class", FOLDS: "folds"}
"""Protocols whose rows are not those of any other."""
_FOLDS = 5


def read_experiment(path: Path) -> Experiment:
    """Read and check a file. Raises DataError or TrainingError, naming the file and the key, for whatever it should not
    hold."""
    top = read_toml(path)
    notes, every = top.texts("notes"), top.take("every", int, 0)
    experiment = Experiment(
        path.stem, top.take("title", str), _source(top.table("source")), notes, _series(top), (), (), every
    )
    seeds, keep_weights = top.seeds("seeds") or (0,), top.take("keep_weights", bool, True)
    experiment = replace(experiment, seeds=seeds, folds=_folds(top, experiment), keep_weights=keep_weights)
    columns = tuple(_column(name, table, experiment) for name, table in top.tables("columns"))
    rows = tuple(_row(key, table, experiment, columns) for key, table in top.tables("rows"))
    experiment = replace(experiment, columns=columns, rows=rows)
    if "fast" in top.values:
        experiment = replace(experiment, fast=_fast(top.table("fast"), experiment))
    top.close()
    if every < 0 or bool(columns) == bool(every):
        raise top.fault(
            f"{len(columns)} columns, and curves every {every} epochs",
            "give columns for a table, or every for a figure",
        )
    if not rows:
        raise top.fault("there are no rows", "add [rows], one for each category or each choice of normal classes")
    if every and (experiment.one_class or experiment.cross_validated):
        raise top.fault("a figure of one-class models or folds", "make the protocol unified or separate")
    return experiment


def _source(table: Section) -> Source:
    words = (table.take(key, str) for key in ("paper", "place"))
    more = (table.take(key, str, NOT_STATED) for key in ("data", "weights", "kept"))
    source = Source(*words, *more)
    table.close()
    return source


def _folds(top: Section, experiment: Experiment) -> int:
    if not experiment.cross_validated:
        return 0
    folds = top.take("folds", int, _FOLDS)
    if folds < 2:
        raise top.fault(f"{folds} folds", "give at least 2")
    return folds


def _series(top: Section) -> tuple[Series, ...]:
    common = (top.take("family", str, ""), top.table("options").values, top.table("fit").values)
    series = tuple(_one_series(name, table, *common) for name, table in top.tables("series"))
    if not series:
        raise top.fault("there are no series", "add [series.<name>] with a protocol")
    kinds = {_ALONE.get(one.protocol, "other") for one in series}
    if len(kinds) > 1:
        raise top.fault(f"{' and '.join(sorted(kinds))} protocols", "put them into two files: their rows differ")
    return series


def _one_series(name: str, table: Section, family: str, options: Mapping[str, Any], fit: Mapping[str, Any]) -> Series:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise table.fault(f"{name!r} names folders", "use small letters, digits and dashes")
    found = table.choice("family", tuple(FAMILIES), family or None)
    protocol, label = table.choice("protocol", PROTOCOLS), table.take("label", str, name)
    options, fit = {**options, **table.table("options").values}, {**fit, **table.table("fit").values}
    where, kind = f"{table.path}, {table.name}", family_class(found).Options
    best_of = _best_of(table.table("best_of"), kind, f"{where}, best_of") if "best_of" in table.values else None
    table.close()
    if protocol == FOLDS and not _classifies(found):
        able = ", ".join(name for name in FAMILIES if _classifies(name))
        what = f"protocol is 'folds', and {found} does not learn to tell bad parts from good ones"
        raise table.fault(what, f"choose another protocol, or a family that does: {able}")
    if "seed" in fit:
        raise table.fault("a training has a seed of its own", "write seeds = [0, 1, 2] at the top of the file")
    series = Series(
        name,
        label,
        found,
        protocol,
        typed(kind, options, f"{where}, options"),
        typed(FitOptions, fit, f"{where}, fit"),
        best_of,
    )
    try:
        series.check()
    except EdgeadError as error:
        raise type(error)(error.what, where, error.todo) from error
    return series


def _classifies(name: str) -> bool:
    kind = family_class(name)
    return issubclass(kind, DefectLearner) and kind.classifies


def _best_of(table: Section, kind: type[Any], where: str) -> BestOf:
    option, values = table.take("option", str), table.take("values", list)
    table.close()
    if len(values) < 2 or len({str(value) for value in values}) < len(values):
        raise table.fault(f"values is {values!r}", "make it a list of different values, two at least")
    return BestOf(option, tuple(typed(kind, {option: value}, where)[option] for value in values))


def _column(name: str, table: Section, experiment: Experiment) -> Column:
    series = table.choice("series", [series.name for series in experiment.series])
    known = tuple(measure for measure in MEASURES if measure != F1 or experiment.cross_validated)
    column = Column(name, series, table.choice("measure", known), table.percent("mean"))
    table.close()
    return column


def _row(key: str, table: Section, experiment: Experiment, columns: tuple[Column, ...]) -> Row:
    normal = table.take("normal", list) if experiment.one_class else []
    if not all(type(label) in (int, str) for label in normal):
        raise table.fault(f"normal is {normal!r}", "make it a list of classes, by number or by name")
    if experiment.one_class and not normal:
        raise table.fault("no class is normal", "name some in normal")
    category = table.take("category", str, "") if experiment.cross_validated else ""
    good, bad = (table.count(kind) if experiment.cross_validated else None for kind in ("good", "bad"))
    own = table.take("own", bool, False)
    numbers = table.table("published")
    found = {column.name: number for column in columns if (number := numbers.percent(column.name)) is not None}
    numbers.close()
    row = Row(key, table.take("name", str, key), tuple(normal), found, category, good, bad, own)
    table.close()
    if own and found:
        raise table.fault("own is true, and there are published numbers", "leave out one of them")
    return row


def _fast(table: Section, experiment: Experiment) -> Fast:
    seeds, rows = table.seeds("seeds"), table.texts("rows")
    train, test = (table.count(part) for part in ("train", "test"))
    options, fit = table.table("options").values, table.table("fit").values
    table.close()
    known = [row.key for row in experiment.rows]
    for row in rows:
        if row not in known:
            raise table.fault(f"there is no row {row!r}", f"choose from {', '.join(known)}")
    kinds = [family_class(series.family).Options for series in experiment.series]
    checked: dict[str, Any] = {}
    for name, value in options.items():
        kind = next((kind for kind in kinds if has(kind, name)), kinds[0])
        checked |= typed(kind, {name: value}, f"{table.path}, {table.name}.options")
    if "seed" in fit:
        raise table.fault("a training has a seed of its own", "write seeds = [0] into [fast]")
    return Fast(seeds, train, test, rows, checked, typed(FitOptions, fit, f"{table.path}, {table.name}.fit"))
