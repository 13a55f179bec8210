"""edgead demo: the whole chain, on rendered parts or on a folder of one's own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edgead.atomic import write_atomic
from edgead.cli.evaluate import Subject, of_detector, publish, summary
from edgead.cli.options import PATH, as_text, check_folder, json_option, print_json
from edgead.cli.quantising import budget_options
from edgead.cli.run_data import validation_samples
from edgead.data.layout import Dataset, read_dataset
from edgead.detector import Detector
from edgead.errors import DataError, GateRefused
from edgead.evaluation.evaluate import Evaluation, evaluate
from edgead.export.build import BuildReport, build_engine
from edgead.export.options import BuildOptions
from edgead.export.package import Origin, make_bundle
from edgead.export.trials import AUTO
from edgead.export.verification.gate import Budget
from edgead.loading import load
from edgead.progress import Progress, progress_bar
from edgead.sinks import open_sink
from edgead.sources import open_source
from edgead.streaming import Stream
from edgead.summary import Summary
from edgead.training.fit import fit
from edgead.training.options import FitOptions
from edgead.training.run import load_model, origin, read_run


@dataclass(frozen=True)
class Size:
    """How much work: photos to render, and how to train on them."""

    train: int
    test_good: int
    per_defect: int
    frames: int
    pixels: int
    epochs: int
    base_width: int
    stages: int = 6


FULL = Size(train=240, test_good=40, per_defect=8, frames=100, pixels=128, epochs=60, base_width=16)
TINY = Size(train=24, test_good=6, per_defect=1, frames=12, pixels=64, epochs=4, base_width=4, stages=4)


@click.command("demo")
@click.option("-o", "--output", type=PATH, default=Path("demo"), show_default=True, help="The folder for everything.")
@click.option(
    "--data", type=PATH, help="Your own folder, with train/good and test/<defect>, instead of rendered parts."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Train for this many epochs at most.")
@click.option(
    "--score",
    type=click.Choice(("max", "mean")),
    default="max",
    show_default=True,
    help="Image score: the worst spot, or the mean over the image, for defects that cover the part.",
)
@budget_options
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--tiny", is_flag=True, help="A minute's worth, to see that everything works; too little to judge parts by."
)
@json_option
def demo_command(
    output: Path,
    data: Path | None,
    epochs: int | None,
    score: str,
    seed: int,
    tiny: bool,
    as_json: bool,
    **budget: float,
) -> None:
    """Run the whole chain: train, evaluate, export, calibrate, build an INT8 engine, stream, report.

    Where INT8 costs more than the budget by every method of calibration, layers are kept in fp16 until it does not.
    Stopped and started again, it goes on where it was.
    """
    check_folder(output)
    size = TINY if tiny else FULL
    begin = time.monotonic()
    with progress_bar() as progress:
        dataset, line = _prepare(output, data, size, seed, progress)
        bundle = output / "part.edgead"
        _train(dataset, output / "run", size, epochs or size.epochs, score, seed, progress)
        _export(output / "run", bundle, progress)
        with load(bundle, precision="fp32") as detector:
            fp32 = evaluate(detector.engine.infer, dataset.test, detector.height, detector.width, progress=progress)
        built, refused = _build(bundle, dataset, Budget(**budget), progress)
        with load(bundle) as detector:
            measured = of_detector(detector)
            engine = evaluate(detector.engine.infer, dataset.test, detector.height, detector.width, progress=progress)
            streamed = _stream(detector, line, output)
            _report(output, engine, fp32, measured, dataset)
    figures = {
        "fp32": fp32.mean.to_json(),
        "engine": engine.mean.to_json(),
        "precision": built.precision,
        "int8_layers": [built.int8_layers, built.layers],
        "calibration": built.calibration,
        "refused": refused,
        "stream": streamed.to_json(),
        "seconds": round(time.monotonic() - begin, 1),
    }
    write_atomic(output / "summary.json", as_text(figures))
    if as_json:
        print_json(figures)
    else:
        click.echo("\n".join(_lines(output, dataset, figures)))


def _prepare(output: Path, data: Path | None, size: Size, seed: int, progress: Progress) -> tuple[Dataset, str]:
    """The data set and what to stream: a rendered line video, or the folder's own test images."""
    if data is not None:
        dataset = read_dataset(data)
        if not any(sample.anomalous for sample in dataset.test):
            raise DataError("the demo needs labelled defects to show", data, "add test/<defect> folders, or `bad`")
        return dataset, str(_line_of(dataset, output))
    from edgead.synthetic import write_dataset, write_video

    root, video = output / "data" / "flange", output / "line.mp4"
    if not root.exists():
        counts = {"train": size.train, "test_good": size.test_good, "per_defect": size.per_defect}
        write_dataset(root, size=256, seed=seed, progress=progress, **counts)
    if not video.exists():
        write_video(video, frames=size.frames, size=512, defects=0.2, seed=seed, progress=progress)
    return read_dataset(root), str(video)


def _line_of(dataset: Dataset, output: Path) -> Path:
    """A folder of links to the test images, good and bad in a mixed order, so that they come by as on a line."""
    folder = output / "line"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    ordered = sorted(dataset.test, key=lambda sample: sample.path.stem)
    for index, sample in enumerate(ordered):
        (folder / f"{index:05d}-{sample.defect}{sample.path.suffix}").symlink_to(sample.path.resolve())
    return folder


def _train(dataset: Dataset, folder: Path, size: Size, epochs: int, score: str, seed: int, progress: Progress) -> None:
    model = {"height": size.pixels, "width": size.pixels, "base_width": size.base_width, "stages": size.stages}
    fit(
        "lamp",
        dataset.train,
        folder,
        root=dataset.root,
        model_options={**model, "map_window": 5, "score": score},
        options=FitOptions(epochs=epochs, seed=seed),
        resume=(folder / "run.json").exists(),
        progress=progress,
    )


def _export(run: Path, bundle: Path, progress: Progress) -> None:
    model, record = load_model(run), read_run(run)
    made = make_bundle(
        model,
        Origin(**origin(record)),
        validation_samples(record, None),
        height=model.options.height,
        width=model.options.width,
        progress=progress,
    )
    made.write(bundle)


def _build(bundle: Path, dataset: Dataset, budget: Budget, progress: Progress) -> tuple[BuildReport, list[str]]:
    """The first engine that passes the gate, INT8 by the best method of calibration, or else with the fewest layers in
    fp16, or else fp16 whole; and what was refused."""
    refused: list[str] = []
    last: GateRefused | None = None
    for precision, method in (("int8", AUTO), ("mixed", "minmax"), ("fp16", "minmax")):
        options = BuildOptions(precision=precision, method=method, budget=budget)
        try:
            return build_engine(bundle, dataset, options, progress=progress), refused
        except GateRefused as refusal:
            refused.append(f"{precision}: {refusal.what}")
            last = refusal
    assert last is not None
    raise last


def _stream(detector: Detector, line: str, output: Path) -> Summary:
    results, video = output / "results.jsonl", output / "annotated.mp4"
    for old in (results, video):
        old.unlink(missing_ok=True)
    source = open_source(line)
    # Half hot at the pixel threshold, the same in every frame.
    sinks = [open_sink(results), open_sink(video, source=source, scale=(0.0, 2 * detector.thresholds.pixel.value))]
    with Stream(detector, source, policy="every", sinks=sinks) as run:
        for _ in run:
            pass
    return run.summary


def _report(output: Path, engine: Evaluation, fp32: Evaluation, measured: Subject, dataset: Dataset) -> None:
    facts = {**measured.facts, "image AUROC in fp32": f"{fp32.mean.image_auroc:.4f}"}
    measured = Subject(measured.predict, measured.height, measured.width, measured.thresholds, facts)
    publish(output / "report.html", engine, measured, dataset)
    write_atomic(output / "evaluation.json", as_text(summary(engine, measured)))


def _lines(output: Path, dataset: Dataset, figures: dict[str, Any]) -> list[str]:
    fp32, engine, stream = figures["fp32"], figures["engine"], figures["stream"]
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in stream["verdicts"].items())
    layers, total = figures["int8_layers"]
    precision = {"int8": "INT8", "mixed": "mixed precision"}.get(figures["precision"], figures["precision"])
    made = f"{layers} of {total} layers run in INT8" if layers else "INT8 lost too much and was refused"
    infer = stream["milliseconds"]["infer"]["p50"]
    return [
        f"report   {output / 'report.html'}",
        f"video    {output / 'annotated.mp4'}",
        f"results  {output / 'results.jsonl'}",
        "",
        f"1. learned from {len(dataset.train)} photos of good parts, tested on {len(dataset.test)} others",
        f"2. image AUROC {fp32['image_auroc']:.3f} in fp32, {engine['image_auroc']:.3f} in {precision}",
        f"3. {made}",
        f"4. {stream['judged']} frames judged: {verdicts}",
        f"5. {infer:.1f} ms a frame in the engine, {figures['seconds']:.0f} s for everything",
    ]
