"""edgead experiment FILE --data DIR -o OUT"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from edgead.cli.options import PATH, check_folder, json_option, print_json
from edgead.errors import EdgeadError
from edgead.experiments.reading.shipped import find_experiment, shipped
from edgead.progress import progress_bar, silent

if TYPE_CHECKING:
    from edgead.experiments.cells.processes import Processes
    from edgead.experiments.experiment import Job

_COUNT = click.IntRange(min=1)
_RESULTS = Path("experiments") / "results"


@click.command("experiment", epilog="\n".join(["\b", "Those that come with edgead:", *shipped()]))
@click.argument("file", metavar="FILE|NAME")
@click.option(
    "--data",
    type=PATH,
    required=True,
    help="The categories side by side in one folder; for one-class tables a .npz file, CIFAR-10's binary batches, or "
    "folders of classes.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help=f"The folder for everything; by default {_RESULTS}/NAME below this one, for a fast run NAME-fast.",
)
@click.option("--fast", is_flag=True, help="A small run, as the file's [fast] says: it works, and measures little.")
@click.option("--only", multiple=True, metavar="GLOB", help="Do only the cells whose names fit; repeatable.")
@click.option("--list", "listed", is_flag=True, help="Print the cells and which are done, and do nothing.")
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(min=0), help="In place of the file's; repeatable.")
@click.option("--backbone", metavar="NAME", help="Another frozen feature extractor.")
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    metavar="imagenet|PATH|URL|none",
    help="Its weights: torchvision's published ones, a file or an address of such, or random.",
)
@click.option("--epochs", type=_COUNT, help="Train for this many epochs.")
@click.option("--train", type=_COUNT, help="Train on this many images at most, drawn evenly from the categories.")
@click.option("--test", type=_COUNT, help="Test on this many at most, drawn evenly from categories and defects.")
@click.option("--every", type=_COUNT, help="Measure a figure's curves every so many epochs.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Change an option of `edgead train`, as batch-size=8; repeatable.",
)
@json_option
def experiment_command(
    file: str,
    data: Path,
    output: Path | None,
    fast: bool,
    only: tuple[str, ...],
    listed: bool,
    seeds: tuple[int, ...],
    backbone: str | None,
    weights: str,
    epochs: int | None,
    train: int | None,
    test: int | None,
    every: int | None,
    changes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Fill in a paper's table, or draw one of its figures, on the images that you have.

    What is measured here stands beside what the paper published, with everything that was done differently. A category
    without images says so. Stopped and started again, it goes on where it was.

    Each training and its measurement is a cell with a folder of its own. Several processes share them, on one machine
    or several that share the output folder: torchrun --nproc-per-node 4 -m edgead.cli.main experiment ...
    """
    from edgead.experiments.cells.processes import Processes

    processes = Processes.taken_from(os.environ)  # before Lightning reads it
    processes.take_gpu(os.environ, _gpus)
    from edgead.experiments.experiment import Work, prepare
    from edgead.experiments.reading.overrides import Overrides

    path = find_experiment(file)
    folder = output or _RESULTS / (f"{path.stem}-fast" if fast else path.stem)
    check_folder(folder)
    work = Work(weights, train, test, Overrides(backbone, epochs, every, seeds, _pairs(changes), fast), only)
    with progress_bar() if processes.first else nullcontext(silent) as progress:
        job = prepare(path, data, folder, work, progress)
        if listed:
            _print_cells(job, processes, as_json)
            return
        if not _do(job, processes, folder):
            return
        found = job.write()
    if as_json:
        print_json(found.to_json())
        return
    from edgead.experiments.showing.figures import Figure
    from edgead.experiments.showing.printing import show_figure, show_table

    console = Console()
    console.print(show_figure(found) if isinstance(found, Figure) else show_table(found))
    console.print(f"report  {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _do(job: Job, processes: Processes, folder: Path) -> bool:
    """Do this process's cells, and in the first wait for the others. Whether the results are its to tell."""
    from edgead.experiments.cells.processes import beating, failed, wait_for_others

    try:
        with beating(processes, folder):
            job.do(processes)
            if processes.first:
                others = [replace(processes, rank=rank) for rank in range(1, processes.size)]
                wait_for_others(folder, others, job.missing, lambda line: click.echo(line, err=True))
    except EdgeadError as error:
        raise failed(processes, error) from error
    return processes.first


def _print_cells(job: Job, processes: Processes, as_json: bool) -> None:
    if not processes.first:
        return
    states = job.states()
    if as_json:
        print_json([{"cell": name, "state": state} for name, state in states])
        return
    for name, state in states:
        click.echo(f"{state:5}  {name}")


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _pairs(changes: tuple[str, ...]) -> dict[str, str]:
    """OPTION=VALUE as pairs; dashes in a name are as good as underscores."""
    found: dict[str, str] = {}
    for change in changes:
        name, sign, value = change.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not sign or not name or name in found:
            raise click.BadParameter(f"{change!r} is not OPTION=VALUE, once for each", param_hint="--set")
        found[name] = value.strip()
    return found
