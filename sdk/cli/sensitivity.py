"""edgead sensitivity part.edgead --data DIR"""

from __future__ import annotations

from pathlib import Path

import click

from edgead.atomic import write_atomic
from edgead.bundle import read_bundle
from edgead.calibration.images import assign_roles
from edgead.calibration.sensitivity import sensitivities
from edgead.cli.layer_table import layer_table
from edgead.cli.options import PATH, bundle_argument, check_writable, json_option, print_json
from edgead.data.layout import read_dataset
from edgead.evaluation.layers import layer_picture
from edgead.export.graphs import TRIED_ON
from edgead.export.held_out import hold_out
from edgead.progress import progress_bar


@click.command("sensitivity")
@bundle_argument
@click.option("--data", type=PATH, required=True, help="The training's data folder, or a folder of good images.")
@click.option("--picture", type=PATH, help="Also draw the table, as an SVG file.")
@click.option(
    "--images",
    default=TRIED_ON,
    show_default=True,
    type=click.IntRange(min=1),
    help="Held-out images that each layer is tried on.",
)
@json_option
def sensitivity_command(bundle: Path, data: Path, picture: Path | None, images: int, as_json: bool) -> None:
    """Try every layer of a bundle's INT8 graph alone, all others in float: what it costs the anomaly map.

    Changes nothing. `edgead build-engine --precision mixed` goes by the same table; its --keep-float and --keep-int8
    take the names.
    """
    if picture:
        check_writable(picture)
    read = read_bundle(bundle)
    quantised = read.graph("int8")
    with progress_bar() as progress:
        held = hold_out(assign_roles(read_dataset(data), read.manifest), read.manifest, progress)
        tried = held.spread(images)
        rows = sensitivities(read.graph("fp32"), quantised, tried, progress)
    layers = [row.to_json() for row in rows]
    if picture:
        write_atomic(picture, layer_picture(layers))
    if as_json:
        print_json({"images": len(tried), "layers": layers})
    else:
        click.echo("\n".join(layer_table(layers)))
