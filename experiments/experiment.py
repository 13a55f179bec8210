"""A paper's table or figure on a data folder: from the file to the numbers and the report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgead.atomic import write_atomic
from edgead.experiments.config import read_experiment
from edgead.experiments.facts import facts
from edgead.experiments.figures import Figure, draw
from edgead.experiments.overrides import Overrides, changed
from edgead.experiments.plan import plan
from edgead.experiments.printing import as_markdown
from edgead.experiments.report import write_figure_report, write_table_report
from edgead.experiments.runner import NONE, carry_out
from edgead.experiments.tables import Table, fill
from edgead.progress import Progress, silent


@dataclass(frozen=True)
class Work:
    """How much of an experiment to do, and with what. weights: the backbone's, as `fit` takes them. train, test: images
    at most."""

    weights: str = NONE
    train: int | None = None
    test: int | None = None
    overrides: Overrides = field(default_factory=Overrides)


def run_experiment(path: Path, data: Path, output: Path, work: Work, progress: Progress = silent) -> Table | Figure:
    """Run the experiment in a file on the images in a folder, and write what came out.

    In `output`: a folder for each model, `report.html`, and `table.json` and `table.md` or, for a figure,
    `curves.json`. Called again, it goes on where it was stopped. Raises DataError and TrainingError, before anything is
    trained, for a file, options or data that do not fit.
    """
    meant = read_experiment(path)
    done = changed(meant, work.overrides)
    planned = plan(done, data, work.train, work.test, done.series[0].fit_options().seed)
    outcomes = carry_out(done, planned, output, work.weights, progress)
    told = facts(meant, done, outcomes, work.weights)
    if done.every:
        figure = draw(done, planned, outcomes, told)
        write_atomic(output / "curves.json", _text(figure.to_json()))
        write_figure_report(figure, outcomes, output / "report.html")
        return figure
    table = fill(done, planned, outcomes, told)
    write_atomic(output / "table.json", _text(table.to_json()))
    write_atomic(output / "table.md", as_markdown(table))
    write_table_report(table, outcomes, output / "report.html")
    return table


def _text(document: Any) -> str:
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
