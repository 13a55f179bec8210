"""edgead import uniad CKPT --data DIR -o RUN"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgead.cli.options import PATH, check_folder, dataclass_options, json_option, print_json, take_options
from edgead.data.layout import read_dataset
from edgead.progress import progress_bar
from edgead.training.importing import ImportOptions, import_uniad
from edgead.training.importing.run import AUTO

_PADDING = (
    "note: its EfficientNet pads as TensorFlow does, and {backbone} both sides alike: the taps see other places than "
    "they were trained for (of efficientnet_b4 1 to 11 pixels away, 27 in the fifth). Features and scores differ from "
    "those of the authors' code; measure with `edgead evaluate` before you rely on it"
)
_WEIGHTS = (
    "note: the checkpoint fits the features of the backbone that it was trained on; with weights from elsewhere its "
    "scores mean something only where they are the same weights"
)


@click.group("import")
def import_checkpoint_command() -> None:
    """Turn a checkpoint of an author's code into a training run."""


@import_checkpoint_command.command("uniad")
@click.argument("checkpoint", type=PATH)
@click.option(
    "--data",
    type=PATH,
    required=True,
    help="Images of good parts, laid out as for training; best none that the checkpoint was trained on, since the "
    "thresholds are fitted on a share of them.",
)
@click.option("-o", "--output", type=PATH, required=True, help="The run folder to make.")
@click.option(
    "--weights",
    default=AUTO,
    show_default=True,
    metavar="auto|imagenet|PATH|URL|none",
    help="The backbone's weights: the checkpoint's own (auto; ImageNet's where it has none), torchvision's published "
    "ones, a file or an address of such, or random.",
)
@json_option
@dataclass_options(ImportOptions)
def uniad(checkpoint: Path, data: Path, output: Path, weights: str, as_json: bool, **arguments: Any) -> None:
    """Turn a checkpoint of UniAD's authors into a run, which the other commands take like a trained one.

    The file is read without running anything that is in it.
    """
    check_folder(output)
    dataset = read_dataset(data)
    with progress_bar() as progress:
        imported = import_uniad(
            checkpoint,
            dataset.train,
            output,
            options=ImportOptions(**take_options(ImportOptions, arguments)),
            weights=weights,
            root=dataset.root,
            progress=progress,
        )
    run = imported.run
    if as_json:
        print_json({"run": str(output), "data": dict(run.data), "result": dict(run.result)})
        return
    grid = f"{run.options['feature_height']}x{run.options['feature_width']}"
    click.echo(
        f"{output}: UniAD of epoch {run.result['epochs']}, {grid} tokens "
        f"(loss on {run.data['validation_images']} held-out images {run.result['validation_loss']:.4g})"
    )
    if imported.padded:
        click.echo(_PADDING.format(backbone=run.options["backbone"]))
    if not imported.own_backbone:
        click.echo(_WEIGHTS)
