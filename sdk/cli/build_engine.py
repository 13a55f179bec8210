"""edgead build-engine part.edgead --precision int8 --calib-data DIR"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edgead.atomic import write_atomic
from edgead.bench.ratio import WORTH
from edgead.calibration.calibration_set import RECORDS
from edgead.cli.comparison_lines import comparison_lines
from edgead.cli.options import (
    PATH,
    PRECISIONS,
    bundle_argument,
    check_writable,
    given,
    json_option,
    print_json,
    target_option,
)
from edgead.cli.planning import plan_options
from edgead.cli.quantising import QUANTISING, quantising_options
from edgead.cli.run_data import defects
from edgead.cli.trial_lines import trial_lines
from edgead.data.layout import read_dataset
from edgead.export.build import BuildReport, build_engine
from edgead.export.known_images import described
from edgead.export.options import BuildOptions
from edgead.export.plan_options import PlanOptions
from edgead.progress import progress_bar


@click.command("build-engine")
@bundle_argument
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="int8",
    show_default=True,
    help="What the network computes in; mixed: INT8, and float16 in the fewest layers that meet the budget.",
)
@click.option(
    "--calib-data",
    type=PATH,
    required=True,
    help="Images to calibrate and verify with: the training's data folder, or a folder of good images.",
)
@target_option
@quantising_options
@click.option(
    "--threshold",
    type=click.Choice(("tail", "quantile", "probability")),
    help="How thresholds are found, as in `edgead export`; by default as the exported ones were.",
)
@plan_options
@click.option("-o", "--output", type=PATH, help="Also write the serialised engine to this file, for another machine.")
@click.option(
    "--labelled",
    type=PATH,
    help="Images of defects, other than the test images: the reject threshold is then that of the best F1, the balance "
    "of bad parts missed and good ones rejected.",
)
@json_option
def build_engine_command(
    bundle: Path,
    precision: str,
    calib_data: Path,
    target: str,
    quantising: Mapping[str, Any],
    threshold: str | None,
    plan: PlanOptions,
    output: Path | None,
    labelled: Path | None,
    as_json: bool,
) -> None:
    """Build an engine, compare it with the fp32 graph on held-out images, and keep it only where it stayed right.

    The bundle then holds the graph of this precision, thresholds fitted on the engine's own scores, and the comparison.
    """
    check_writable(bundle, output)
    if labelled and threshold:
        raise click.UsageError("--labelled sets the reject threshold, and --threshold another one: give one of them")
    if unused := given(*QUANTISING) if precision not in RECORDS else []:
        raise click.UsageError(f"nothing is INT8 in {precision}: leave {', '.join(unused)} out")
    options = BuildOptions(
        precision=precision,
        target=target,
        threshold="f1" if labelled else threshold or "",
        plan=plan,
        **quantising,
    )
    with progress_bar() as progress:
        report = build_engine(bundle, read_dataset(calib_data), options, labelled=defects(labelled), progress=progress)
    if output:
        write_atomic(output, report.plan)
    if as_json:
        print_json(report.to_json())
    else:
        click.echo("\n".join(describe(bundle, report)))


def describe(bundle: Path, report: BuildReport) -> list[str]:
    """The report in lines for people."""
    size = len(report.plan) / 2**20
    lines = [f"{bundle}: {report.precision} engine for {report.target}, {size:.1f} MiB"]
    if report.precision in RECORDS:
        lines.append(f"  {report.int8_layers} of {report.layers} convolutions and matrix products run in INT8")
        reasons = {layer["name"]: layer["float"] for layer in report.calibration["layers"] if layer["float"]}
        lines += [f"    {name} keeps float: {reason}" for name, reason in reasons.items()]
        kept = tuple(f"{name}{end}" for name in reasons for end in (":", "/"))  # a runtime may call it by a part of it
        lines += [f"    not {other}" for other in report.others if not other.startswith(kept)]
    lines += trial_lines(report.calibration)
    if report.plugins or report.bodies:
        total = len(report.plugins) + len(report.bodies)
        lines.append(f"  {len(report.plugins)} of {total} operators of edgead's own run as plugins")
    causes = Counter(body.partition(": ")[2] for body in report.bodies)
    lines += [f"    {count} by their bodies: {reason}" for reason, count in causes.items()]
    if report.gpu_layers:
        lines.append(f"  {len(report.gpu_layers)} layers fall back from the DLA to the GPU")
        lines += [f"    {layer}" for layer in report.gpu_layers]
    lines += comparison_lines(report.comparison)
    lines += pace_lines(report)
    manifest = report.bundle.manifest
    if manifest.self_test is not None:
        lines.append(f"  {described(manifest.self_test, manifest.variant(report.precision))}")
    lines.append(
        f"  kept in {report.engine}"
        if report.engine
        else "  not kept in this machine's cache: it is for another device"
    )
    return lines


def pace_lines(report: BuildReport) -> list[str]:
    """Whether the engine is faster than the fp32 one; what to take where it is not."""
    if report.pace is None:
        return []
    lines = [f"  takes {report.pace:.2f} of the time of fp32 on this machine"]
    if report.pace > WORTH:
        lines.append(
            f"  it does not pay here: `--precision fp32` is as fast and exact; take {report.precision} for size"
        )
    return lines
