"""edgead export RUN -o part.edgead"""

from __future__ import annotations

from pathlib import Path

import click

from edgead.cli.options import PATH, check_writable, json_option, print_json, score_option
from edgead.cli.run_data import defects, validation_samples
from edgead.errors import EdgeadError
from edgead.export.known_images import described
from edgead.export.package import Origin, make_bundle
from edgead.manifest import MAX_BATCH
from edgead.progress import progress_bar
from edgead.training.run import load_model, origin, read_run


@click.command("export")
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The bundle to write.")
@click.option("--data", type=PATH, help="The training's data folder, where it has moved.")
@click.option(
    "--max-batch",
    type=click.IntRange(1, MAX_BATCH),
    default=8,
    show_default=True,
    help="The largest batch that an engine will take.",
)
@click.option(
    "--threshold",
    type=click.Choice(("tail", "quantile", "probability")),
    help="How the thresholds come from the good images that training held out: by a curve through their highest "
    "scores, carried on to one good part rejected in 500 (tail), by their highest scores themselves (quantile), or at "
    "the probability 0.5 (probability, of a classifier alone); by default tail, and for a classifier probability.",
)
@click.option(
    "--labelled",
    type=PATH,
    help="Images of defects, other than the test images: the reject threshold is then that of the best F1, unless "
    "--threshold says otherwise, and the self-test's bad images are of them.",
)
@click.option(
    "--self-test/--no-self-test",
    default=True,
    show_default=True,
    help="Store some images of good and of bad parts in the bundle, by which a line checks its engine.",
)
@score_option
@json_option
def export_command(
    run: Path,
    output: Path,
    data: Path | None,
    max_batch: int,
    threshold: str | None,
    labelled: Path | None,
    self_test: bool,
    score: str | None,
    as_json: bool,
) -> None:
    """Turn a training run into a bundle: the detector graph, checked against the model, with thresholds."""
    check_writable(output)
    model, record = load_model(run, score), read_run(run)
    if threshold == "probability" and model.threshold != threshold:
        todo = "leave --threshold out, or choose another"
        raise EdgeadError(f"the scores of {record.family} are no probabilities", run, todo)
    with progress_bar() as progress:
        bundle = make_bundle(
            model,
            Origin(**{**origin(record), "options": model.options.to_json()}),
            validation_samples(record, data),
            height=model.options.height,
            width=model.options.width,
            max_batch=max_batch,
            threshold=threshold or ("f1" if labelled else model.threshold),
            labelled=defects(labelled),
            self_test=self_test,
            progress=progress,
        )
    bundle.write(output)
    variant = bundle.manifest.variant("fp32")
    thresholds, told = variant.thresholds, described(bundle.manifest.self_test, variant)
    if as_json:
        facts = {"bundle": str(output), "digest": bundle.digest, "thresholds": thresholds.to_json(), "self_test": told}
        print_json(facts)
    else:
        click.echo(
            f"{output}: rejects at {thresholds.image.value:.4g}, warns at {thresholds.warn.value:.4g} "
            f"({thresholds.image.method})"
        )
        click.echo(f"  {told}")
