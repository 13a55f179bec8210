"""A paper's table or figure on a data folder: from the file to the numbers and the report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from edgead.atomic import write_atomic
from edgead.errors import TrainingError
from edgead.experiments.cells.cell import AnyCell, Cell
from edgead.experiments.cells.kept_pictures import kept
from edgead.experiments.cells.pictures import Exhibit
from edgead.experiments.cells.plan import Plan, plan
from edgead.experiments.cells.processes import ALONE, Processes
from edgead.experiments.cells.runner import Runner
from edgead.experiments.cells.work import NONE, Works
from edgead.experiments.reading.config import Experiment
from edgead.experiments.reading.experiment_file import read_experiment
from edgead.experiments.reading.overrides import Overrides, changed
from edgead.experiments.showing.facts import Cut, facts
from edgead.experiments.showing.figures import Figure, draw
from edgead.experiments.showing.measured import Done
from edgead.experiments.showing.printing import as_markdown
from edgead.experiments.showing.report import write_figure_report, write_table_report
from edgead.experiments.showing.tables import Table, fill
from edgead.progress import Progress, silent


@dataclass(frozen=True)
class Work:
    """How much of an experiment to do, and with what. weights: the backbone's, as `fit` takes them. train, test: images
    at most. only: patterns of the cells to do, as shells have them; all where there are none."""

    weights: str = NONE
    train: int | None = None
    test: int | None = None
    overrides: Overrides = field(default_factory=Overrides)
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """An experiment that is about to be done. meant: as it is in the file; done: as it will be. cut: the images at
    most."""

    meant: Experiment
    done: Experiment
    plan: Plan
    runner: Runner
    cut: Cut
    work: Work

    @property
    def _every(self) -> list[AnyCell]:
        return [*self.plan.bases, *self.plan.cells]

    @property
    def chosen(self) -> list[AnyCell]:
        """The cells to do; a base that was asked for by its name stands before those that need it. Raises TrainingError
        where a pattern means none."""
        every = self._every
        for pattern in self.work.only:
            if not any(fnmatchcase(cell.name, pattern) for cell in every):
                raise TrainingError(f"no cell is called {pattern!r}", "--only", "list them with --list")
        if not self.work.only:
            return list(self.plan.cells)
        return [cell for cell in every if any(fnmatchcase(cell.name, pattern) for pattern in self.work.only)]

    def states(self) -> list[tuple[str, str]]:
        """The name of every cell, or of those that were asked for, and whether it is done, not done, or done with other
        options or images ("other")."""
        return [(cell.name, self._state(cell)) for cell in (self.chosen if self.work.only else self._every)]

    def _state(self, cell: AnyCell) -> str:
        try:
            return "done" if self.runner.done(cell) else "to do"
        except TrainingError:
            return "other"

    def do(self, processes: Processes = ALONE) -> None:
        """Do what this process has to. Cells that are done stay as they are. Raises, before anything is trained,
        TrainingError where one of them all, which the table will be of, was done with other options or images."""
        mine = processes.share(self.chosen)
        for cell in self._every:
            self.runner.done(cell)
        for cell in mine:
            self.runner.do(cell, processes.threads)

    def missing(self, processes: Processes) -> list[str]:
        """The names of the cells of a process that are not done."""
        return [cell.name for cell in processes.share(self.chosen) if not self.runner.done(cell)]

    def write(self) -> Table | Figure:
        """Fill in the table, or draw the figure, from the cells that are done, and write it."""
        found = [(cell, self.runner.done(cell)) for cell in self.plan.cells]
        done = [Done(cell, record) for cell, record in found if record]
        records = [one.record for one in done]
        told = facts(self.meant, self.done, records, self.work.weights, self.cut)
        output, shown, fast = self.runner.output, self._exhibits(), self.work.overrides.fast
        if self.done.every:
            figure = draw(self.done, self.plan, records, told, fast=fast)
            write_atomic(output / "curves.json", _text(figure.to_json()))
            write_figure_report(figure, shown, output / "report.html")
            return figure
        bases = [record for cell in self.plan.bases if (record := self.runner.done(cell))]
        table = fill(self.done, self.plan, done, bases, told, fast=fast)
        write_atomic(output / "table.json", _text(table.to_json()))
        write_atomic(output / "table.md", as_markdown(table))
        write_table_report(table, shown, output / "report.html")
        return table

    def _exhibits(self) -> dict[str, list[Exhibit]]:
        """By the label of a series, the pictures that its cells have kept."""
        shown: dict[str, list[Exhibit]] = {}
        for cell in self.plan.cells:
            if cell.name in self.runner.pictures:
                found = kept(self.runner.output / cell.name, cell.dataset.test)
                shown.setdefault(cell.series.label, []).extend(found)
        return shown


def prepare(path: Path, data: Path, output: Path, work: Work, progress: Progress = silent) -> Job:
    """Read the file and look at the data. Raises DataError and TrainingError for a file, options or data that do not
    fit."""
    meant = read_experiment(path)
    done = changed(meant, work.overrides)
    fast = meant.fast if work.overrides.fast else None
    train = work.train or (fast.train if fast else None)
    test = work.test or (fast.test if fast else None)
    planned = plan(done, data, train, test)
    works = Works(work.weights, done.every)
    runner = Runner(output, works, _pictured(done, planned), done.keep_weights, progress)
    return Job(meant, done, planned, runner, Cut(train, test), work)


def run_experiment(path: Path, data: Path, output: Path, work: Work, progress: Progress = silent) -> Table | Figure:
    """Run the experiment in a file on the images in a folder, and write what came out.

    In `output`: a folder for each cell with its `result.json` and its model, `report.html`, and `table.json` and
    `table.md` or, for a figure, `curves.json`. Called again, it goes on where it was stopped. Raises DataError and
    TrainingError, before anything is trained, for a file, options or data that do not fit.
    """
    job = prepare(path, data, output, work, progress)
    job.do()
    return job.write()


def _pictured(experiment: Experiment, planned: Plan) -> frozenset[str]:
    """The cells of which pictures are kept: of the first seed and fold; in a figure of each series, in a table of the
    first."""
    shown = experiment.series if experiment.every else experiment.series[:1]
    names = {series.name for series in shown}
    first = shown[0].variants()[0].variant

    def is_first(cell: Cell) -> bool:
        one = cell.seed == experiment.seeds[0] and not cell.fold
        return one and cell.series.name in names and cell.series.variant == first

    return frozenset(cell.name for cell in planned.cells if is_first(cell))


def _text(document: Any) -> str:
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
