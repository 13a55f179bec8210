"""Does the cells of an experiment: trains, measures, and leaves a record of each."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgead import __version__
from edgead.errors import TrainingError
from edgead.evaluation.evaluate import evaluate
from edgead.evaluation.ranking import f1_at
from edgead.evaluation.thresholds import EVEN
from edgead.experiments.cells.cell import AnyCell, BaseCell, Cell
from edgead.experiments.cells.curves import Watch
from edgead.experiments.cells.device import commit, device_name
from edgead.experiments.cells.kept_pictures import keep
from edgead.experiments.cells.lock import held
from edgead.experiments.cells.pictures import exhibits
from edgead.experiments.cells.predicting import BATCH, predictor
from edgead.experiments.cells.record import Record, read_record, same_work
from edgead.experiments.cells.work import NONE, Works, starts_from_weights
from edgead.experiments.reading.config import F1
from edgead.progress import Progress, silent
from edgead.training.fit import fit
from edgead.training.models import DetectorModule
from edgead.training.options import FitOptions
from edgead.training.run import WEIGHTS, read_run


@dataclass(frozen=True)
class Runner:
    """output: where each cell has a folder, with its record and, in `run`, its model. works: what decides results.
    pictures: the names of the cells whose pictures are kept. keep_weights: whether models stay when they are measured;
    those that others are built on do."""

    output: Path
    works: Works
    pictures: frozenset[str]
    keep_weights: bool = True
    progress: Progress = silent

    def done(self, cell: AnyCell) -> Record | None:
        """The record of a cell that is done. Raises TrainingError where it was done with other options or images."""
        folder = self.output / cell.name
        record = read_record(folder)
        return record and same_work(record, self.works.of(cell), folder)

    def do(self, cell: AnyCell, threads: int = 0) -> Record:
        """Train and measure a cell, and what has to be trained before it, unless that is done. A training that was
        interrupted goes on. threads: where the options leave them open; 0 for all cores. Raises what `fit` and
        `evaluate` do, and TrainingError where another process is doing the cell."""
        if record := self.done(cell):
            return record
        if isinstance(cell, Cell) and cell.base:
            self.do(cell.base, threads)
        with held(self.output / cell.name):
            return self.done(cell) or self._do(cell, threads)

    def _do(self, cell: AnyCell, threads: int) -> Record:
        made_by = commit()  # before the training, which may take longer than the checkout stays as it is
        folder = self.output / cell.name
        options = replace(cell.fit, threads=cell.fit.threads or _begun_with(folder / "run", threads))
        every = 0 if isinstance(cell, BaseCell) else self.works.every
        watch = Watch(folder / "curve.json", cell.dataset.test, options, every) if every else None
        begun, start = (folder / "run").exists(), time.perf_counter()
        model = self._fit(cell, options, watch)
        trained = time.perf_counter()
        torch.set_num_threads(options.threads or os.cpu_count() or 1)
        categories = self._measure(cell, model, options) if isinstance(cell, Cell) else {}
        measured = time.perf_counter()
        run = read_run(folder / "run")
        points = watch.points(folder / "run" / "history.jsonl") if watch else []
        record = Record(
            cell=cell.name,
            **cell.place,
            work=self.works.of(cell),
            edgead=__version__,
            commit=made_by,
            device=device_name(options),
            threads=torch.get_num_threads(),
            training=None if begun else round(trained - start, 3),
            measuring=round(measured - trained, 3),
            images={
                "train": int(run.data["train_images"]),
                "validation": int(run.data["validation_images"]),
                "defects": int(run.data.get("defects", 0)),
                "test": len(cell.dataset.test),
            },
            weights=str(run.data.get("weights", "")),
            epochs=int(run.result["epochs"]),
            best_epoch=int(run.result["best_epoch"]),
            categories=categories,
            points=[point.to_json() for point in points],
        )
        record.write(folder)
        if isinstance(cell, Cell) and not self.keep_weights:
            (folder / "run" / WEIGHTS).unlink()
        return record

    def _fit(self, cell: AnyCell, options: FitOptions, watch: Watch | None) -> DetectorModule:
        folder = self.output / cell.name / "run"
        try:
            return fit(
                cell.family,
                cell.dataset.train,
                folder,
                model_options=cell.options,
                options=options,
                weights=self._weights(cell),
                defects=cell.defects,
                resume=(folder / "run.json").exists(),
                root=cell.dataset.root,
                progress=self.progress,
                after_epoch=watch,
            )
        except TrainingError as error:
            if not error.what.startswith("interrupted"):
                raise
            raise TrainingError(error.what, error.where, "run the same command again to go on") from error

    def _weights(self, cell: AnyCell) -> str:
        """What the model starts with, as `fit` takes it."""
        if isinstance(cell, BaseCell):
            return NONE
        if cell.base:
            return str(self.output / cell.base.name / "run")
        return self.works.weights if starts_from_weights(cell.family) else NONE

    def _measure(self, cell: Cell, model: DetectorModule, options: FitOptions) -> dict[str, Mapping[str, Any]]:
        """The measures of each category; and the pictures, where they are kept."""
        predict, size = predictor(model, options), (model.options.height, model.options.width)
        evaluation = evaluate(predict, cell.dataset.test, *size, batch_size=BATCH, progress=self.progress)
        if cell.name in self.pictures:
            keep(self.output / cell.name, exhibits(evaluation, predict))
        found: dict[str, Mapping[str, Any]] = {
            name: metrics.to_json() for name, metrics in evaluation.categories.items()
        }
        if cell.fold is not None:
            (name,) = found
            found[name] = {**found[name], F1: _known(f1_at(evaluation.labels, evaluation.scores, EVEN))}
        return found


def _begun_with(run: Path, threads: int) -> int:
    """The threads of a training that goes on, which ends as if it had never stopped; else as many as are given."""
    return int(read_run(run).fit["threads"]) if (run / "run.json").exists() else threads


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
