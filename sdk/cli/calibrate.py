"""edgead calibrate part.edgead --data DIR"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edgead.bundle import change_bundle, read_bundle
from edgead.calibration.calibration_set import read_record
from edgead.calibration.images import assign_roles
from edgead.cli.comparison_lines import comparison_lines
from edgead.cli.options import PATH, bundle_argument, check_writable, given, json_option, print_json
from edgead.cli.quantising import quantising_options
from edgead.cli.trial_lines import trial_lines
from edgead.data.layout import read_dataset
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.export.graphs import make_graph
from edgead.export.options import BuildOptions
from edgead.export.verification.gate import check_gate
from edgead.export.verification.verifier import Verifier
from edgead.progress import progress_bar


@click.command("calibrate")
@bundle_argument
@click.option("--data", type=PATH, required=True, help="The training's data folder, or a folder of good images.")
@click.option("-o", "--output", type=PATH, help="Write another bundle instead of changing this one.")
@quantising_options
@click.option("--like", type=PATH, help="A calibrated bundle whose calibration images to take again, found by digest.")
@json_option
def calibrate_command(
    bundle: Path,
    data: Path,
    output: Path | None,
    quantising: Mapping[str, Any],
    like: Path | None,
    as_json: bool,
) -> None:
    """Add an INT8 graph to a bundle, with its own thresholds, checked against fp32.

    The INT8 graph is explicit (Q/DQ): every device builds its engine from it.
    """
    target = output or bundle
    check_writable(target, read=[like] if like else [])
    if unused := given("select", "calibration_size") if like else []:
        raise click.UsageError(f"--like takes the images of another calibration: leave {' and '.join(unused)} out")
    read = read_bundle(bundle)
    options = BuildOptions(precision="int8", **quantising)
    record = read_record(read_bundle(like)) if like else None
    roles = assign_roles(read_dataset(data), read.manifest)
    with progress_bar() as progress:
        verifier = Verifier(read, roles, progress=progress, choosing=options.chooses)
        graph, members = make_graph(read, roles, options, verifier, progress, like=record)
        with OnnxRuntimeEngine(graph, max_batch=read.manifest.max_batch) as engine:
            verified = verifier.verify(engine, progress=progress)
    comparison = check_gate(verified.comparison, options.budget, f"{bundle} int8")
    variant = replace(verified, comparison=comparison).variant("int8")
    if output:
        made = read.with_variant("int8", variant, members)
        made.write(output)
    else:
        made = change_bundle(bundle, read, lambda now: now.with_variant("int8", variant, members))
    record = read_record(made)
    count, warnings = len(record["images"]), record["warnings"]
    if as_json:
        report = {"bundle": str(target), "images": count, "warnings": warnings, "verification": comparison.to_json()}
        print_json({**report, "method": record["method"], "trials": record["trials"]})
    else:
        click.echo(f"{target}: INT8 from {count} images ({record['method']})")
        click.echo("\n".join([*comparison_lines(comparison), *trial_lines(record)]))
