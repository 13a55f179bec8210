"""edgead sensitivity part.edgead [--data DIR]"""

from __future__ import annotations

from pathlib import Path

import click

from edgead.atomic import write_atomic
from edgead.bundle import Bundle, read_bundle
from edgead.calibration.calibration_set import read_record
from edgead.calibration.images import assign_roles
from edgead.calibration.sensitivity import LayerSensitivity, sensitivities
from edgead.cli.layer_table import layer_table
from edgead.cli.options import PATH, bundle_argument, check_writable, given, json_option, print_json
from edgead.data.layout import read_dataset
from edgead.evaluation.layers import layer_picture
from edgead.export.graphs import TRIED_ON
from edgead.export.verification.held_out import hold_out
from edgead.progress import progress_bar


@click.command("sensitivity")
@bundle_argument
@click.option(
    "--data",
    type=PATH,
    help="The training's data folder, or a folder of good images, to try each layer on; without it, the table of the "
    "build is shown.",
)
@click.option("--picture", type=PATH, help="Also draw the table, as an SVG file.")
@click.option(
    "--images",
    default=TRIED_ON,
    show_default=True,
    type=click.IntRange(min=1),
    help="Held-out images that each layer is tried on.",
)
@json_option
def sensitivity_command(bundle: Path, data: Path | None, picture: Path | None, images: int, as_json: bool) -> None:
    """Show what INT8 costs each layer of a bundle: its own answer, and, alone among layers in float, the anomaly map.

    With --data, every layer of the INT8 graph is tried; without, the table is what `edgead build-engine` found and
    chose, layers that keep float included. Changes nothing. --keep-float and --keep-int8 of a build take the names.
    """
    check_writable(picture, read=[bundle])
    if data is None and given("images"):
        raise click.UsageError("--images counts the images of --data: give --data, or leave it out")
    read = read_bundle(bundle)
    if data is None:
        precision = "mixed" if read.manifest.preferred == "mixed" else "int8"
        layers = read_record(read, precision)["layers"]
    else:
        layers = [row.to_json() for row in _tried(read, data, images)]
    if picture:
        write_atomic(picture, layer_picture(layers))
    if as_json:
        print_json({"layers": layers})
    else:
        click.echo("\n".join(layer_table(layers)))


def _tried(bundle: Bundle, data: Path, images: int) -> tuple[LayerSensitivity, ...]:
    quantised = bundle.graph("int8")
    with progress_bar() as progress:
        held = hold_out(assign_roles(read_dataset(data), bundle.manifest), bundle.manifest, progress)
        return sensitivities(bundle.graph("fp32"), quantised, held.spread(images), progress)
