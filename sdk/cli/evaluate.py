"""edgead evaluate RUN|part.edgead --data DIR"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from edgead.atomic import write_atomic
from edgead.cli.options import (
    PATH,
    as_text,
    check_writable,
    given,
    json_option,
    precision_option,
    print_json,
    score_option,
    target_option,
)
from edgead.data.layout import Dataset, read_dataset
from edgead.errors import DataError, EdgeadError
from edgead.evaluation.evaluate import Evaluation, Predict, evaluate
from edgead.evaluation.report import write_report
from edgead.evaluation.table import table
from edgead.evaluation.thresholds import Thresholds
from edgead.loading import load
from edgead.progress import Progress, progress_bar

if TYPE_CHECKING:
    from edgead.detector import Detector


@dataclass(frozen=True)
class Subject:
    """What is measured: a graph to run, its size, its thresholds, and facts for the report."""

    predict: Predict
    height: int
    width: int
    thresholds: Thresholds
    facts: dict[str, str]


@click.command("evaluate")
@click.argument("subject", type=PATH, metavar="RUN|BUNDLE")
@click.option("--data", type=PATH, required=True, help="A folder with labelled test images.")
@target_option
@precision_option
@click.option("--report", type=PATH, help="Also write an HTML report to this file.")
@click.option("-o", "--output", type=PATH, help="Also write the metrics and every score to this JSON file.")
@score_option
@json_option
def evaluate_command(
    subject: Path,
    data: Path,
    target: str,
    precision: str | None,
    report: Path | None,
    output: Path | None,
    score: str | None,
    as_json: bool,
) -> None:
    """Measure a training run or a bundle's engine on labelled images: AUROC, AP, F1-max and AUPRO, images and pixels.

    Each is 1 at best. AUROC: how often a bad image scores above a good one, 0.5 by chance; AP: how pure the highest
    scores are; F1-max: the best balance of bad parts missed and good ones rejected; AUPRO: how much of each defect is
    marked while little of the rest is. The thresholds are those of the bundle; for a run, they are fitted on the
    validation images that training held out.
    """
    check_writable(report, output, read=[subject])
    if unused := given("target", "precision") if subject.is_dir() else []:
        raise click.UsageError(f"{' and '.join(unused)} choose among the engines of a bundle: a run has none")
    if score and not subject.is_dir():
        raise EdgeadError("a bundle has its score inside", subject, "export the run with --score")
    dataset = read_dataset(data)
    if not any(sample.anomalous for sample in dataset.test):
        raise DataError("there are no labelled defects to evaluate on", data, "add test/<defect> folders, or `bad`")
    with contextlib.ExitStack() as stack, progress_bar() as progress:
        if subject.is_dir():
            measured = _run(subject, data, score, progress)
        else:
            measured = _bundle(subject, target, precision, stack)
        evaluation = evaluate(measured.predict, dataset.test, measured.height, measured.width, progress=progress)
        if report:
            publish(report, evaluation, measured, dataset)
    document = summary(evaluation, measured)
    if output:
        write_atomic(output, as_text(document))
    if as_json:
        print_json({name: value for name, value in document.items() if name != "images"})
    else:
        Console().print(table(evaluation, measured.thresholds))


def summary(evaluation: Evaluation, measured: Subject) -> dict[str, Any]:
    """The evaluation with its judgement and facts, ready for JSON."""
    judged = evaluation.judge(measured.thresholds)
    return {**evaluation.to_json(), "judgement": judged.to_json(), "facts": measured.facts}


def publish(path: Path, evaluation: Evaluation, measured: Subject, dataset: Dataset) -> None:
    """Write the HTML report."""
    write_report(
        evaluation,
        measured.thresholds,
        path,
        title=f"{', '.join(dataset.categories)}",
        facts=measured.facts,
        predict=measured.predict,
        height=measured.height,
        width=measured.width,
    )


def of_detector(detector: Detector) -> Subject:
    """A running engine with the thresholds of its precision."""
    manifest = detector.bundle.manifest
    facts = {
        "detector": manifest.family,
        "runs on": f"{detector.engine.name}, {detector.precision}",
        "input": f"{manifest.height} x {manifest.width}",
        "trained on": f"{manifest.training.get('train_images', '?')} images of {', '.join(manifest.classes)}",
        "bundle": detector.digest[:16],
    }
    return Subject(detector.engine.infer, detector.height, detector.width, detector.thresholds, facts)


def _bundle(path: Path, target: str, precision: str | None, stack: contextlib.ExitStack) -> Subject:
    return of_detector(stack.enter_context(load(path, target=target, precision=precision)))


def _run(folder: Path, data: Path, score: str | None, progress: Progress) -> Subject:
    from edgead.cli.run_data import validation_samples
    from edgead.data.loading import load_images
    from edgead.export.package import thresholds_of
    from edgead.export.verification.answers import run_all
    from edgead.training.evaluate import predictor
    from edgead.training.run import load_model, read_run

    model, record = load_model(folder, score), read_run(folder)
    predict, size = predictor(model), (model.options.height, model.options.width)
    held_out = load_images(validation_samples(record, None if record.root else data), *size, progress)
    thresholds = thresholds_of(run_all(predict, held_out, 8), model.threshold)
    facts = {
        "detector": record.family,
        "runs on": "PyTorch",
        "input": f"{size[0]} x {size[1]}",
        "trained on": f"{record.data['train_images']} images of {', '.join(record.data['classes'])}",
    }
    return Subject(predict, *size, thresholds, facts)
