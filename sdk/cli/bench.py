"""edgead bench part.edgead --precision fp32 --precision int8 --plot bench.svg"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import click

from edgead.atomic import write_atomic
from edgead.bench import Wanted, bench
from edgead.bench.picture import draw
from edgead.bench.table import lines
from edgead.cli.options import (
    PATH,
    PRECISION_HELP,
    PRECISIONS,
    TARGET_HELP,
    TARGETS,
    as_text,
    check_writable,
    json_option,
    no_build_option,
    print_json,
)
from edgead.cli.rebuilding import build
from edgead.progress import progress_bar


@click.command("bench")
@click.argument("bundles", metavar="BUNDLE...", type=PATH, nargs=-1, required=True)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(PRECISIONS),
    multiple=True,
    help=f"{PRECISION_HELP.removesuffix('.')}; repeatable.",
)
@click.option(
    "--target",
    "targets",
    type=click.Choice(TARGETS),
    multiple=True,
    default=("auto",),
    show_default=True,
    help=f"{TARGET_HELP.removesuffix('.')}; repeatable.",
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(min=1),
    multiple=True,
    help="Images in a call, besides 1; repeatable. By default 2, 4 and 8, as far as the bundle takes them.",
)
@click.option(
    "--source",
    metavar="SPEC",
    help="What to run the pipeline on, as `edgead stream --camera` takes it; by default a rendered video of 1920 x "
    "1080 pixels.",
)
@click.option("--frames", default=200, show_default=True, type=click.IntRange(min=10), help="Images in a round.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Rounds of all engines.")
@click.option("--no-pipeline", is_flag=True, help="Measure the engines alone.")
@click.option("-o", "--output", type=PATH, help="Also write the figures to this file, as JSON.")
@click.option("--plot", type=PATH, help="Also draw latency and throughput into this file, as SVG.")
@no_build_option
@json_option
def bench_command(
    bundles: tuple[Path, ...],
    precisions: tuple[str, ...],
    targets: tuple[str, ...],
    batches: tuple[int, ...],
    source: str | None,
    frames: int,
    rounds: int,
    no_pipeline: bool,
    output: Path | None,
    plot: Path | None,
    no_build: bool,
    as_json: bool,
) -> None:
    """Measure engines by turns in one run: latency, throughput, memory, energy, and the pipeline around each.

    Every bundle is measured in every precision on every target given; ratios are to the first of them.
    """
    if output and plot and output.resolve() == plot.resolve():
        raise click.UsageError("--output and --plot name the same file")
    if no_pipeline and source is not None:
        raise click.UsageError("--source is what the pipeline runs on: leave it out, or --no-pipeline")
    check_writable(output, plot, read=bundles)
    with progress_bar() as progress:
        report = bench(
            [Wanted(*one) for one in product(bundles, precisions or (None,), targets)],
            batches=batches,
            frames=frames,
            rounds=rounds,
            pipeline=not no_pipeline,
            source=source,
            build=not no_build and build,
            progress=progress,
        )
    if output:
        write_atomic(output, as_text(report.to_json()))
    if plot:
        write_atomic(plot, f"{draw(report)}\n")
    if as_json:
        print_json(report.to_json())
    else:
        click.echo("\n".join(lines(report)))
