"""What an experiment is: a paper's table or figure, with the trainings that fill it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgead.experiments.reading.number import Number
from edgead.training.fit import fit_options
from edgead.training.models import family as family_class
from edgead.training.models.base import Foundation, ModelOptions
from edgead.training.options import FitOptions

UNIFIED, SEPARATE, ONE_CLASS, FOLDS = "unified", "separate", "one-class", "folds"
PROTOCOLS = (UNIFIED, SEPARATE, ONE_CLASS, FOLDS)
"""One model for all categories; one for each; one for each choice of normal classes; one for each fold of each
category, tested on that fold and trained on the good and bad images of the others."""
NOT_STATED = "not stated"
F1 = "f1"
MEASURES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
    "pixel_aupro": "pixel AUPRO",
    F1: "F1 of bad parts at probability 0.5",
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
class BestOf:
    """An option of the model that is tried with several values, given as TOML has them; the table shows the best."""

    option: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Series:
    """How models are trained. name: that of their folders. label: for readers. options, fit: what is said of the model
    and of the training; the family's defaults hold for the rest. best_of: what is tried. tried: in one of several
    variants, the value that it tries; variant: the option with it, as part of a folder's name."""

    name: str
    label: str
    family: str
    protocol: str
    options: Mapping[str, Any]
    fit: Mapping[str, Any]
    best_of: BestOf | None = None
    tried: str = ""
    variant: str = ""

    def variants(self) -> tuple[Series, ...]:
        """One series for each value that is tried; itself where nothing is."""
        if self.best_of is None:
            return (self,)
        option = self.best_of.option
        return tuple(
            replace(
                self,
                options={**self.options, option: value},
                best_of=None,
                tried=str(value),
                variant=re.sub(r"\W+", "_", f"{option}{value}"),
            )
            for value in self.best_of.values
        )

    @property
    def _options(self) -> ModelOptions:
        return family_class(self.family).Options(**self.options).resolve()

    def model_options(self) -> dict[str, Any]:
        """Every option of the model, with its value. Raises TrainingError for options that contradict each other."""
        return self._options.to_json()

    def fit_options(self, seed: int = 0) -> FitOptions:
        """Every option of the training. Features are kept on the disk, so that models of the same parts share them.
        A training has one device: several of them take different trainings."""
        options = fit_options(self.family, **{"features": "disk", "devices": "1", **self.fit, "seed": seed})
        options.check()
        return options

    def foundation(self, seed: int) -> Foundation | None:
        """What has to be trained before a model of this series."""
        return self._options.foundation(self.fit_options(seed))

    def check(self) -> None:
        """Raise TrainingError for options that cannot be."""
        for one in self.variants():
            one.model_options()
            one.fit_options()


@dataclass(frozen=True)
class Column:
    """A measure of a series. mean: what the paper states below its column."""

    name: str
    series: str
    measure: str
    mean: Number | None


@dataclass(frozen=True)
class Row:
    """A line of the table. key: the category's folder, or what the paper calls these normal classes. published: by
    column. own: whether the paper does not have it. Of folds: category, the folder's name, where several rows have the
    same one; good, bad, how many images of each kind take part, None for all."""

    key: str
    name: str
    normal: tuple[int | str, ...] = ()
    published: Mapping[str, Number] = field(default_factory=dict)
    category: str = ""
    good: int | None = None
    bad: int | None = None
    own: bool = False


@dataclass(frozen=True)
class Fast:
    """What a fast run does otherwise; what is empty or None stays as it is. rows: those that are filled. train, test:
    images at most. options, fit: of every series that has them."""

    seeds: tuple[int, ...] = ()
    train: int | None = None
    test: int | None = None
    rows: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A table, or a figure of curves that are measured `every` so many epochs; then it has no columns, and its rows
    say which categories the paper has. seeds: each trains everything once. folds: of a cross-validation, else 0.
    keep_weights: whether models stay when they are measured. fast: what a fast run does otherwise; kept: the
    rows that it fills, all where there are none."""

    name: str
    title: str
    source: Source
    notes: tuple[str, ...]
    series: tuple[Series, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    every: int
    seeds: tuple[int, ...] = (0,)
    folds: int = 0
    keep_weights: bool = True
    fast: Fast | None = None
    kept: tuple[str, ...] = ()

    @property
    def one_class(self) -> bool:
        """Whether its rows are choices of normal classes, and not categories."""
        return self.series[0].protocol == ONE_CLASS

    @property
    def of_paper(self) -> tuple[Row, ...]:
        """The rows that the paper has."""
        return tuple(row for row in self.rows if not row.own)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The rows that stay empty."""
        return tuple(row.key for row in self.rows if self.kept and row.key not in self.kept)

    @property
    def cross_validated(self) -> bool:
        """Whether each row is measured fold by fold."""
        return self.series[0].protocol == FOLDS
