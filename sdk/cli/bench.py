"""edgead bench part.edgead --source video.mp4"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import click

from edgead.bench import bench
from edgead.cli.options import bundle_argument, json_option, precision_option, print_json, target_option
from edgead.loading import load
from edgead.progress import progress_bar
from edgead.synthetic.full_hd import write_full_hd


@click.command("bench")
@bundle_argument
@click.option("--source", help="What to run the pipeline on; by default a rendered video of 1920 x 1080 pixels.")
@click.option("--frames", default=200, show_default=True, type=click.IntRange(min=10), help="Frames in a round.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Rounds, engine and pipeline.")
@target_option
@precision_option
@json_option
def bench_command(
    bundle: Path, source: str | None, frames: int, rounds: int, target: str, precision: str | None, as_json: bool
) -> None:
    """Measure the engine alone and the whole pipeline, by turns in one run, stage by stage."""
    with (
        load(bundle, target=target, precision=precision, maps=False) as detector,
        tempfile.TemporaryDirectory(prefix="edgead-") as folder,
        progress_bar() as progress,
    ):
        measured = bench(
            detector,
            source or str(write_full_hd(Path(folder) / "line.mp4", frames=frames, progress=progress)),
            frames=frames,
            rounds=rounds,
            progress=progress,
        )
        facts = {"target": detector.engine.name, "precision": detector.precision}
    if as_json:
        print_json({**facts, **measured.to_json()})
        return
    click.echo(f"{detector.precision} on {detector.engine.name}, {rounds} rounds of {frames} frames")
    click.echo(f"engine alone    {statistics.median(measured.engine):8.1f} frames/s")
    click.echo(f"whole pipeline  {statistics.median(measured.pipeline):8.1f} frames/s")
    click.echo(f"the pipeline keeps {measured.share:.0%} of the engine's speed")
    if measured.summary:
        click.echo("\n".join(measured.summary.lines()))
