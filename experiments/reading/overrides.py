"""What the command line changes in an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgead.errors import TrainingError
from edgead.experiments.reading.config import Experiment, Series
from edgead.experiments.reading.settings import has, parsed
from edgead.training.models import family
from edgead.training.options import FitOptions

_WHERE = "the command line"


@dataclass(frozen=True)
class Overrides:
    """backbone, epochs, every, seeds: in place of the file's, where given. changes: options of the model or the
    training by name, as text. fast: what the file's [fast] says; what is given besides counts for more."""

    backbone: str | None = None
    epochs: int | None = None
    every: int | None = None
    seeds: tuple[int, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    fast: bool = False


def changed(experiment: Experiment, overrides: Overrides) -> Experiment:
    """The experiment with other values. An option is changed in each series that has it. Raises TrainingError for one
    that none has, and for values that cannot be."""
    for name in overrides.changes:
        if name == "seed":
            raise TrainingError("a training's seed is one of several", f"{_WHERE}, --set", "give it with --seed")
        if not any(has(kind, name) for series in experiment.series for kind in _kinds(series)):
            todo = f"choose from those of `edgead train {experiment.series[0].family} --help`, with _ for -"
            raise TrainingError(f"there is no option {name!r}", f"{_WHERE}, --set", todo)
    if overrides.every is not None and not experiment.every:
        raise TrainingError("a table has no curves", f"{_WHERE}, --every", "leave it out")
    if len(set(overrides.seeds)) < len(overrides.seeds):
        raise TrainingError("a seed is given twice", f"{_WHERE}, --seed", "give it once")
    if overrides.fast:
        experiment = _fast(experiment)
    series = tuple(_changed(one, overrides) for one in experiment.series)
    for one in series:
        one.check()
    seeds, every = overrides.seeds or experiment.seeds, overrides.every or experiment.every
    return replace(experiment, series=series, every=every, seeds=seeds)


def _fast(experiment: Experiment) -> Experiment:
    """The experiment as its [fast] has it."""
    fast = experiment.fast
    if fast is None:
        todo = "leave out --fast, or add [fast] to a file of your own"
        raise TrainingError("the experiment has no fast run", f"{experiment.name}, --fast", todo)
    series = []
    for one in experiment.series:
        options = {name: value for name, value in fast.options.items() if has(_kinds(one)[0], name)}
        one = _decided(one, options)
        series.append(replace(one, options={**one.options, **options}, fit={**one.fit, **fast.fit}))
    return replace(experiment, series=tuple(series), seeds=fast.seeds or experiment.seeds, kept=fast.rows)


def _changed(series: Series, overrides: Overrides) -> Series:
    options, fit = dict(series.options), dict(series.fit)
    if overrides.backbone is not None and overrides.backbone != series.model_options().get("backbone"):
        _backbone(options, overrides.backbone, series)
    if overrides.epochs is not None:
        fit["epochs"] = overrides.epochs
    for values, kind in zip((options, fit), _kinds(series), strict=True):
        chosen = {name: text for name, text in overrides.changes.items() if has(kind, name)}
        values |= {name: parsed(kind, name, text, f"{_WHERE}, --set") for name, text in chosen.items()}
    return replace(_decided(series, overrides.changes), options=options, fit=fit)


def _decided(series: Series, options: Mapping[str, Any]) -> Series:
    """The series, which does not try an option whose value somebody has given."""
    return replace(series, best_of=None) if series.best_of and series.best_of.option in options else series


def _backbone(options: dict[str, Any], backbone: str, series: Series) -> None:
    """Another backbone has other taps, so those of the file go."""
    if not has(family(series.family).Options, "backbone"):
        raise TrainingError(f"{series.family} has no backbone", f"{_WHERE}, --backbone", "leave it out")
    options["backbone"] = parsed(family(series.family).Options, "backbone", backbone, f"{_WHERE}, --backbone")
    options.pop("taps", None)


def _kinds(series: Series) -> tuple[type[Any], type[Any]]:
    return family(series.family).Options, FitOptions
