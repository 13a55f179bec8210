"""Runs what an experiment plans: trains, measures, and keeps what its report shows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgead.errors import TrainingError
from edgead.evaluation.evaluate import Evaluation, evaluate
from edgead.experiments.config import Experiment
from edgead.experiments.curves import Point, Watch
from edgead.experiments.pictures import Exhibit, exhibits
from edgead.experiments.plan import Plan, Training
from edgead.experiments.predicting import BATCH, predictor
from edgead.progress import Progress, silent
from edgead.training.fit import fit
from edgead.training.models import DetectorModule, family
from edgead.training.options import FitOptions
from edgead.training.run import Run, read_run

NONE = "none"


@dataclass(frozen=True)
class Outcome:
    """A model that was trained and measured. run: what the training says of itself. exhibits: pictures to explain it.
    points: its curve, of a figure's."""

    training: Training
    run: Run
    evaluation: Evaluation
    exhibits: Sequence[Exhibit]
    points: Sequence[Point]


def carry_out(
    experiment: Experiment, plan: Plan, output: Path, weights: str = NONE, progress: Progress = silent
) -> list[Outcome]:
    """Train and measure every model of the plan, each in `output`/<its name>.

    A training that is finished is used again, and one that was interrupted goes on. weights: those of the backbone, for
    families that have one. Raises what `fit` and `evaluate` do.
    """
    return [_carry_out(experiment, training, output / training.name, weights, progress) for training in plan.trainings]


def _carry_out(experiment: Experiment, training: Training, folder: Path, weights: str, progress: Progress) -> Outcome:
    options, run, dataset = training.series.fit_options(), folder / "run", training.dataset
    watch = Watch(folder / "curve.json", dataset.test, options, experiment.every) if experiment.every else None
    model = _fit(training, run, options, weights, watch, progress)
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    predict, size = predictor(model, options), (model.options.height, model.options.width)
    evaluation = evaluate(predict, dataset.test, *size, batch_size=BATCH, progress=progress)
    points = watch.points(run / "history.jsonl") if watch else ()
    return Outcome(training, read_run(run), evaluation, exhibits(evaluation, predict), points)


def _fit(
    training: Training, folder: Path, options: FitOptions, weights: str, watch: Watch | None, progress: Progress
) -> DetectorModule:
    series = training.series
    try:
        return fit(
            series.family,
            training.dataset.train,
            folder,
            model_options=dict(series.options),
            options=options,
            weights=weights if family(series.family).frozen_features else NONE,
            resume=(folder / "run.json").exists(),
            root=training.dataset.root,
            progress=progress,
            after_epoch=watch,
        )
    except TrainingError as error:
        if not error.what.startswith("interrupted"):
            raise
        raise TrainingError(error.what, error.where, "run the same command again to go on") from error
