"""edgead verify part.edgead --data DIR"""

from __future__ import annotations

from pathlib import Path

import click

from edgead.calibration.images import assign_roles
from edgead.cli.options import PATH, bundle_argument, json_option, precision_option, print_json, target_option
from edgead.data.layout import read_dataset
from edgead.export.build import BuildOptions, verify
from edgead.export.verify import check_gate
from edgead.loading import load
from edgead.progress import progress_bar


@click.command("verify")
@bundle_argument
@click.option("--data", type=PATH, required=True, help="The training's data folder, or a folder of good images.")
@target_option
@precision_option
@click.option(
    "--max-drop",
    default=0.01,
    show_default=True,
    help="The AUROC that the engine may lose; more is refused (exit code 3).",
)
@json_option
def verify_command(
    bundle: Path, data: Path, target: str, precision: str | None, max_drop: float, as_json: bool
) -> None:
    """Compare the engine that this machine runs with the fp32 graph, on held-out images. Changes nothing."""
    dataset = read_dataset(data)
    with load(bundle, target=target, precision=precision) as detector, progress_bar() as progress:
        roles = assign_roles(dataset, detector.bundle.manifest, 1)
        options = BuildOptions(precision=detector.precision, target=target)
        _, comparison = verify(detector.bundle, detector.engine, roles, options, progress=progress)
    if as_json:
        print_json(comparison.to_json())
    else:
        click.echo(
            f"{bundle}: {detector.precision} on {comparison.target}, {comparison.images} images, "
            f"map error {comparison.map_error:.2%}, {comparison.changed_verdicts} verdicts changed"
        )
    check_gate(comparison, max_drop, f"{bundle} {detector.precision}")
