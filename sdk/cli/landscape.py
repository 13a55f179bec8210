"""edgead landscape RUN... --data DIR -o FOLDER"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgead.cli.options import PATH, check_folder, json_option, print_json
from edgead.data.layout import read_dataset, split_validation
from edgead.data.loading import load_images
from edgead.data.protocols import one_class
from edgead.data.samples import Dataset, Sample
from edgead.data.split import subset
from edgead.errors import DataError
from edgead.experiments.landscape.plane import LOSSES, landscape
from edgead.experiments.landscape.report import Album, Portrait, write_album
from edgead.progress import Progress, progress_bar
from edgead.training.run import Run, load_model, read_run

_COUNT = click.IntRange(min=1)


@click.command("landscape")
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN...")
@click.option(
    "--data", type=PATH, required=True, help="A folder of images, or labelled classes such as MNIST in a .npz file."
)
@click.option("--normal", multiple=True, metavar="CLASS", help="A class that is normal, where the data has classes.")
@click.option("-o", "--output", type=PATH, required=True, help="The folder for the report and the pictures.")
@click.option("--images", "count", type=_COUNT, default=256, show_default=True, help="Good images at most.")
@click.option(
    "--side", type=int, default=21, show_default=True, help="Losses along each direction, an odd number from 3 on."
)
@click.option(
    "--extent", type=float, default=1.0, show_default=True, help="How far to go, in lengths of the model's filters."
)
@click.option("--pairs", type=_COUNT, default=3, show_default=True, help="Pairs of directions for the sharpness.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the directions.")
@click.option(
    "--loss",
    type=click.Choice(tuple(LOSSES)),
    default="base",
    show_default=True,
    help="The base loss, which amplified and plain models share, or what each was trained with.",
)
@json_option
def landscape_command(
    runs: tuple[Path, ...],
    data: Path,
    normal: tuple[str, ...],
    output: Path,
    count: int,
    side: int,
    extent: float,
    pairs: int,
    seed: int,
    loss: str,
    as_json: bool,
) -> None:
    """Draw the loss around the weights of training runs, and say how sharp it is there.

    The images are good ones of the test, the same for each run; where there are none, those that training held out.
    """
    check_folder(output)
    records = [read_run(run) for run in runs]
    samples = _good(one_class(data, normal) if normal else _folder(data), records, count)
    portraits = []
    with progress_bar() as progress:
        for name, run, record in zip(_names(runs), runs, records, strict=True):
            model = load_model(run).to("cuda" if torch.cuda.is_available() else "cpu")
            images = load_images(samples, model.options.height, model.options.width)
            found = landscape(
                model,
                images,
                loss=loss,
                side=side,
                extent=extent,
                pairs=pairs,
                seed=seed,
                progress=_named(progress, name),
            )
            base, trained_with = _losses(record)
            kind = base if loss == "base" else trained_with
            batch_size, epochs = record.fit["batch_size"], record.result["best_epoch"] + 1
            portraits.append(Portrait(name, trained_with, batch_size, epochs, kind, found))
    album = Album(tuple(portraits), data.resolve().name, len(samples), seed)
    write_album(album, output)
    if as_json:
        print_json(album.to_json())
        return
    console = Console()
    console.print(_table(album))
    console.print(f"report  {output / 'landscape.html'}", highlight=False, soft_wrap=True)


def _folder(data: Path) -> Dataset:
    if data.is_file():
        raise DataError("this file has classes, and none is normal", data, "name it with --normal")
    return read_dataset(data)


def _good(dataset: Dataset, records: Sequence[Run], count: int) -> tuple[Sample, ...]:
    """Good images that no run was trained on, `count` at most, drawn evenly from the categories."""
    good = tuple(sample for sample in dataset.test if not sample.anomalous)
    if not good:
        held_out = {split_validation(dataset.train, run.fit["validation"], run.fit["seed"])[1] for run in records}
        if len(held_out) > 1:
            what = "there are no good test images, and the runs have held out different ones"
            raise DataError(what, dataset.root, "add test/good")
        (good,) = held_out
    return subset(Dataset(dataset.root, dataset.categories, (), good), test=count).test


def _names(runs: Sequence[Path]) -> list[str]:
    """What the runs are called: their folders; where two have one name, with the folder above."""
    plain = [run.resolve() for run in runs]
    again = [path.name for path in plain]
    return [path.name if again.count(path.name) == 1 else f"{path.parent.name}/{path.name}" for path in plain]


def _losses(record: Run) -> tuple[str, str]:
    """What the base loss of a run and the loss it was trained with are called."""
    if "loss" not in record.options:
        return (f"loss of {record.family}",) * 2
    base = str(record.options["loss"]).upper()
    return base, f"amplified {base}" if record.options.get("amplified") else base


def _named(progress: Progress, name: str) -> Progress:
    return lambda what, done, total: progress(f"{name}: {what}", done, total)


def _table(album: Album) -> Table:
    kinds = dict.fromkeys(portrait.kind for portrait in album.portraits)
    shown = Table(title=f"loss drawn: {', '.join(kinds)}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    shown.add_column("run", overflow="fold")
    for head in ("trained with", "batch", "loss", "rise", "curvature"):
        shown.add_column(head, no_wrap=True)
    for portrait in album.portraits:
        shown.add_row(Text(portrait.name), Text(portrait.trained_with), str(portrait.batch_size), *portrait.figures)
    return shown
