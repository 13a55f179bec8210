"""edgead build-engine part.edgead --precision int8 --calib-data DIR"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from edgead.atomic import write_atomic
from edgead.cli.options import PATH, PRECISIONS, bundle_argument, check_writable, json_option, print_json, target_option
from edgead.cli.planning import plan_options
from edgead.cli.quantising import layer_error_option, method_option, select_option, size_option
from edgead.cli.run_data import defects
from edgead.cli.trial_lines import trial_lines
from edgead.data.layout import read_dataset
from edgead.export.build import BuildOptions, BuildReport, build_engine
from edgead.export.plan_options import PlanOptions
from edgead.progress import progress_bar


@click.command("build-engine")
@bundle_argument
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="int8",
    show_default=True,
    help="What the network computes in.",
)
@click.option(
    "--calib-data",
    type=PATH,
    required=True,
    help="Images to calibrate and verify with: the training's data folder, or a folder of good images.",
)
@target_option
@click.option(
    "--max-drop",
    default=0.01,
    show_default=True,
    help="The AUROC that the engine may lose; more is refused (exit code 3).",
)
@method_option
@layer_error_option
@select_option
@size_option
@click.option(
    "--threshold",
    type=click.Choice(("tail", "quantile", "probability")),
    help="How thresholds are found; by default as the exported ones were.",
)
@plan_options
@click.option("-o", "--output", type=PATH, help="Also write the serialised engine to this file, for another machine.")
@click.option(
    "--labelled",
    type=PATH,
    help="Images of defects, other than the test images: the reject threshold is then that of the best F1.",
)
@json_option
def build_engine_command(
    bundle: Path,
    precision: str,
    calib_data: Path,
    target: str,
    max_drop: float,
    method: str,
    max_layer_error: float,
    select: str,
    calib_size: int,
    threshold: str | None,
    plan: PlanOptions,
    output: Path | None,
    labelled: Path | None,
    as_json: bool,
) -> None:
    """Build an engine, compare it with the fp32 graph on held-out images, and keep it only where it stayed right.

    The bundle then holds the graph of this precision, thresholds fitted on the engine's own scores, and the comparison.
    """
    for path in filter(None, (bundle, output)):
        check_writable(path)
    options = BuildOptions(
        precision=precision,
        target=target,
        method=method,
        select=select,
        calibration_size=calib_size,
        max_layer_error=max_layer_error,
        threshold="f1" if labelled else threshold or "",
        max_drop=max_drop,
        plan=plan,
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
    comparison = report.comparison
    size = len(report.plan) / 2**20
    lines = [f"{bundle}: {report.precision} engine for {report.target}, {size:.1f} MiB"]
    if report.precision == "int8":
        lines.append(f"  {report.int8_layers} of {report.layers} convolutions and matrix products run in INT8")
    lines += [f"    not {other}" for other in report.others if report.precision == "int8"]
    lines += trial_lines(report.calibration)
    if report.plugins or report.bodies:
        total = len(report.plugins) + len(report.bodies)
        lines.append(f"  {len(report.plugins)} of {total} operators of edgead's own run as plugins")
    reasons = Counter(body.partition(": ")[2] for body in report.bodies)
    lines += [f"    {count} by their bodies: {reason}" for reason, count in reasons.items()]
    if report.gpu_layers:
        lines.append(f"  {len(report.gpu_layers)} layers fall back from the DLA to the GPU")
        lines += [f"    {layer}" for layer in report.gpu_layers]
    run = f"verified on {comparison.target}" + (
        " (emulated: the target cannot run here)" if comparison.emulated else ""
    )
    lines.append(
        f"  {run}: {comparison.images} images, map error {comparison.map_error:.2%}, "
        f"{comparison.changed_verdicts} verdicts changed"
    )
    for level, engine, reference in (
        ("image", comparison.image_auroc, comparison.image_auroc_fp32),
        ("pixel", comparison.pixel_auroc, comparison.pixel_auroc_fp32),
    ):
        if engine is not None and reference is not None:
            lines.append(f"  {level} AUROC {engine:.4f} (fp32 {reference:.4f})")
    lines.append(
        f"  kept in {report.engine}"
        if report.engine
        else "  not kept in this machine's cache: it is for another device"
    )
    return lines
