"""edgead verify part.edgead [other.edgead] --data DIR"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgead.bundle import read_bundle
from edgead.cli.comparison_lines import comparison_lines
from edgead.cli.options import (
    PATH,
    PRECISION_HELP,
    PRECISIONS,
    TARGET_HELP,
    TARGETS,
    check_writable,
    json_option,
    no_build_option,
    print_json,
)
from edgead.cli.quantising import budget_options
from edgead.cli.rebuilding import build
from edgead.data.layout import read_dataset
from edgead.detector import Detector
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.export.verification.comparison import NAMED
from edgead.export.verification.gate import Budget, check_gate
from edgead.export.verification.report import write_report
from edgead.export.verification.side_by_side import SideBySide, side_by_side
from edgead.loading import load
from edgead.progress import progress_bar

REFERENCE = OnnxRuntimeEngine.name
RUNTIMES = click.Choice((*TARGETS, REFERENCE))


@click.command("verify")
@click.argument("bundle", type=PATH)
@click.argument("other", type=PATH, required=False)
@click.option("--data", type=PATH, required=True, help="The training's data folder, or a folder of good images.")
@click.option(
    "--target",
    type=RUNTIMES,
    default="auto",
    show_default=True,
    help=f"{TARGET_HELP.removesuffix('.')}; onnxruntime: the graph as it stands.",
)
@click.option("--precision", type=click.Choice(PRECISIONS), help=PRECISION_HELP)
@click.option(
    "--against-target", type=RUNTIMES, default=REFERENCE, show_default=True, help="Which runtime the reference runs on."
)
@click.option(
    "--against-precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="What the reference computes in.",
)
@click.option("--report", type=PATH, help="Also write an HTML report to this file, with pictures.")
@no_build_option
@budget_options
@json_option
def verify_command(
    bundle: Path,
    other: Path | None,
    data: Path,
    target: str,
    precision: str | None,
    against_target: str,
    against_precision: str,
    report: Path | None,
    no_build: bool,
    as_json: bool,
    **budget: float,
) -> None:
    """Compare two engines, precisions or bundles on held-out images: metrics, maps, and the verdicts that change.

    The engine of BUNDLE is judged against a reference: the fp32 graph of OTHER, or of the same bundle, or what
    --against-precision and --against-target say. Both go by the thresholds in their bundles; neither is changed.
    """
    check_writable(report, read=[bundle, *([other] if other else [])])
    dataset, allowed = read_dataset(data), Budget(**budget)
    with progress_bar() as progress:

        def opened(path: Path, target: str, precision: str | None) -> Detector:
            if target != REFERENCE:
                built = not no_build and build
                return load(path, target=target, precision=precision, maps=False, build=built, progress=progress)
            read = read_bundle(path)
            precision = precision or read.manifest.preferred
            engine = OnnxRuntimeEngine(read.graph(precision), max_batch=read.manifest.max_batch)
            return Detector(read, engine, precision)

        second = other or bundle
        names = (str(bundle), str(second))
        with (
            opened(bundle, target, precision) as judged,
            opened(second, against_target, against_precision) as reference,
        ):
            found = side_by_side(judged, reference, dataset, bundles=names, progress=progress)
    faults = allowed.faults(found.comparison)
    if report:
        write_report(found, allowed, report)
    if as_json:
        print_json({**found.to_json(), "budget": asdict(allowed), "faults": faults})
    else:
        click.echo("\n".join(lines(found)))
        if report:
            click.echo(f"report: {report}")
    todo = "" if found.alike else "look at the pictures of --report, or raise the budget"
    check_gate(found.comparison, allowed, f"{bundle} {found.judged.runs}", todo=todo)


def lines(found: SideBySide) -> list[str]:
    """The comparison in lines for people."""
    comparison = found.comparison
    told = [found.title, *comparison_lines(comparison, found.reference.runs)]
    if comparison.pyramid:
        errors = ", ".join(f"{error:.2%}" for error in comparison.pyramid)
        told.append(f"  map error of means over 1, 2 x 2, 4 x 4, ... pixels: {errors}")
    if found.levels:
        told.append("  features, from the pixels on (channels x height x width: error):")
        told += [f"    {' x '.join(map(str, level.shape))}: {level.error:.2%}" for level in found.levels]
    told += [f"  {note}" for note in found.notes]
    counted = comparison.changed_verdicts
    told += _named(found, found.changed[:counted], "verdicts that change:")
    return told + _named(found, found.changed[counted:], "verdicts that change between accept and warn alone:")


def _named(found: SideBySide, changed: list[int], heading: str) -> list[str]:
    if not changed:
        return []
    told = [f"  {heading}"]
    for index in changed[:NAMED]:
        before, after = found.verdicts(index)
        # A file name need not be valid Unicode.
        name = click.format_filename(found.names[index])
        told.append(f"    {name}: {before.value} becomes {after.value}")
    return told + ([f"    and {len(changed) - NAMED} more"] if len(changed) > NAMED else [])
