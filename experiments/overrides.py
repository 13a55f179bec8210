"""What the command line changes in an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgead.errors import TrainingError
from edgead.experiments.config import Experiment, Series
from edgead.experiments.settings import has, parsed
from edgead.training.models import family
from edgead.training.options import FitOptions

_WHERE = "the command line"


@dataclass(frozen=True)
class Overrides:
    """backbone, epochs, every, seed: in place of the file's, where given. changes: options of the model or the training
    by name, as text."""

    backbone: str | None = None
    epochs: int | None = None
    every: int | None = None
    seed: int | None = None
    changes: Mapping[str, str] = field(default_factory=dict)


def changed(experiment: Experiment, overrides: Overrides) -> Experiment:
    """The experiment with other values. An option is changed in each series that has it. Raises TrainingError for one
    that none has, and for values that cannot be."""
    for name in overrides.changes:
        if not any(has(kind, name) for series in experiment.series for kind in _kinds(series)):
            todo = f"choose from those of `edgead train {experiment.series[0].family} --help`, with _ for -"
            raise TrainingError(f"there is no option {name!r}", f"{_WHERE}, --set", todo)
    if overrides.every is not None and not experiment.every:
        raise TrainingError("a table has no curves", f"{_WHERE}, --every", "leave it out")
    series = tuple(_changed(one, overrides) for one in experiment.series)
    for one in series:
        one.check()
    return replace(experiment, series=series, every=overrides.every or experiment.every)


def _changed(series: Series, overrides: Overrides) -> Series:
    options, fit = dict(series.options), dict(series.fit)
    if overrides.backbone is not None and overrides.backbone != series.model_options().get("backbone"):
        _backbone(options, overrides.backbone, series)
    numbers = {"epochs": overrides.epochs, "seed": overrides.seed}
    fit |= {name: value for name, value in numbers.items() if value is not None}
    for values, kind in zip((options, fit), _kinds(series), strict=True):
        chosen = {name: text for name, text in overrides.changes.items() if has(kind, name)}
        values |= {name: parsed(kind, name, text, f"{_WHERE}, --set") for name, text in chosen.items()}
    return replace(series, options=options, fit=fit)


def _backbone(options: dict[str, Any], backbone: str, series: Series) -> None:
    """Another backbone has other taps, so those of the file go."""
    if not family(series.family).frozen_features:
        raise TrainingError(f"{series.family} has no backbone", f"{_WHERE}, --backbone", "leave it out")
    options["backbone"] = parsed(family(series.family).Options, "backbone", backbone, f"{_WHERE}, --backbone")
    options.pop("taps", None)


def _kinds(series: Series) -> tuple[type[Any], type[Any]]:
    return family(series.family).Options, FitOptions
