"""edgead experiment FILE --data DIR -o OUT"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from edgead.cli.options import PATH, check_writable, json_option, print_json
from edgead.experiments.config import find_experiment, shipped
from edgead.experiments.experiment import Work, run_experiment
from edgead.experiments.figures import Figure
from edgead.experiments.overrides import Overrides
from edgead.experiments.printing import show_figure, show_table
from edgead.progress import progress_bar
from edgead.training.backbones import BACKBONES, IMAGENET

_COUNT = click.IntRange(min=1)


@click.command("experiment", epilog="\n".join(["\b", "Those that come with edgead:", *shipped()]))
@click.argument("file", metavar="FILE|NAME")
@click.option(
    "--data",
    type=PATH,
    required=True,
    help="The categories side by side in one folder; for one-class tables a .npz file, CIFAR-10's binary batches, or "
    "folders of classes.",
)
@click.option("-o", "--output", type=PATH, help="The folder for everything; by default called like the experiment.")
@click.option("--backbone", type=click.Choice(tuple(BACKBONES)), help="Another frozen feature extractor.")
@click.option(
    "--weights",
    default=IMAGENET,
    show_default=True,
    metavar="imagenet|PATH|URL|none",
    help="Its weights: torchvision's published ones, a file or an address of such, or random.",
)
@click.option("--epochs", type=_COUNT, help="Train for this many epochs.")
@click.option("--train", type=_COUNT, help="Train on this many images at most, drawn evenly from the categories.")
@click.option("--test", type=_COUNT, help="Test on this many at most, drawn evenly from categories and defects.")
@click.option("--every", type=_COUNT, help="Measure a figure's curves every so many epochs.")
@click.option("--set", "changes", multiple=True, metavar="OPTION=VALUE", help="Change an option of `edgead train`.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random.")
@json_option
def experiment_command(
    file: str,
    data: Path,
    output: Path | None,
    backbone: str | None,
    weights: str,
    epochs: int | None,
    train: int | None,
    test: int | None,
    every: int | None,
    changes: tuple[str, ...],
    seed: int | None,
    as_json: bool,
) -> None:
    """Fill in a paper's table, or draw one of its figures, on the images that you have.

    What is measured here stands beside what the paper published, with everything that was done differently. A category
    without images says so. Stopped and started again, it goes on where it was.
    """
    path = find_experiment(file)
    folder = output or Path(path.stem)
    check_writable(folder)
    overrides = Overrides(backbone, epochs, every, seed, _pairs(changes))
    with progress_bar() as progress:
        found = run_experiment(path, data, folder, Work(weights, train, test, overrides), progress)
    if as_json:
        print_json(found.to_json())
        return
    console = Console()
    console.print(show_figure(found) if isinstance(found, Figure) else show_table(found))
    console.print(f"report  {folder / 'report.html'}", highlight=False, soft_wrap=True)


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
