"""edgead attention RUN --data DIR -o FOLDER"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from edgead.atomic import write_atomic
from edgead.cli.options import PATH, check_folder, json_option, print_json
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.data.samples import Dataset, Sample
from edgead.data.split import subset
from edgead.errors import DataError, TrainingError
from edgead.experiments.attention.pictures import AtPoint, Seen, attention_page, draw, picture_files, span
from edgead.training.color import lab_to_srgb
from edgead.training.models.colorizer import Colorizer
from edgead.training.models.leanet import LeaNet
from edgead.training.run import load_model


@click.command("attention")
@click.argument("run", type=PATH)
@click.option("--data", type=PATH, required=True, help="A folder with labelled test images.")
@click.option("-o", "--output", type=PATH, required=True, help="The folder for the page and its pictures.")
@click.option(
    "--images", "count", type=click.IntRange(min=1), default=6, show_default=True, help="Images, bad and good by turns."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draw of images.")
@json_option
def attention_command(run: Path, data: Path, output: Path, count: int, seed: int, as_json: bool) -> None:
    """Draw what a LEA-Net sees: wrong colours, and the classifier's features before and after attention."""
    check_folder(output)
    model, colorizer = _load(run)
    samples = _by_turns(read_dataset(data), count, seed)
    images = [_see(model, colorizer, sample) for sample in samples]
    rows = draw(images)
    for name, content in picture_files(rows).items():
        write_atomic(output / name, content)
    path = output / "attention.html"
    options, images_of = model.options, f"{len(samples)} test image{'s' * (len(samples) > 1)} of {data.resolve().name}"
    words = f"Run {run.resolve().name}: {options.network}, external attention {options.external}. {images_of}."
    write_atomic(path, attention_page(rows, words, seed).encode("utf-8", "replace"))
    if as_json:
        print_json({"data": data.resolve().name, "seed": seed, "images": [_facts(seen) for seen in images]})
        return
    click.echo(f"page  {path}")


def _load(run: Path) -> tuple[LeaNet, Colorizer]:
    """The run's model and the colorizer inside, where it has one."""
    model = load_model(run)
    if not isinstance(model, LeaNet):
        raise TrainingError(f"a run of {model.family} is no LEA-Net", run, "give a run of `edgead train leanet`")
    if model.colorizer is None:
        todo = "give a run that was trained with another --external"
        raise TrainingError("this classifier looks at neither colours nor attention", run, todo)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return model, model.colorizer


def _by_turns(dataset: Dataset, count: int, seed: int) -> tuple[Sample, ...]:
    """A bad image, a good one, and so on; where there are too few of one kind, more of the other."""
    if not dataset.test:
        raise DataError("there are no test images", dataset.root, "add test/good and test/<defect>")
    bad, good = (tuple(one for one in dataset.test if one.anomalous == wanted) for wanted in (True, False))
    share = min(len(bad), max((count + 1) // 2, count - len(good)))
    drawn = (
        subset(replace(dataset, test=kind), test=number, seed=seed).test
        for kind, number in ((bad, share), (good, count - share))
    )
    return tuple(sample for sample in chain(*zip_longest(*drawn)) if sample)


@torch.inference_mode()
def _see(model: LeaNet, colorizer: Colorizer, sample: Sample) -> Seen:
    photograph = load_images([sample], model.options.height, model.options.width)
    image = torch.from_numpy(photograph).to(next(model.parameters()).device)
    answer = model(image)
    recoloured = (lab_to_srgb(colorizer.recolor(image))[0].permute(1, 2, 0) * 255).round()
    points = [
        AtPoint(look.point, _values(look.before), _values(look.attention), _values(look.after))
        for look in model.looks(image)
    ]
    colours = recoloured.cpu().numpy().astype(np.uint8)
    return Seen(sample, float(answer.score), photograph[0], colours, _values(answer.anomaly_map), tuple(points))


def _values(batch: torch.Tensor) -> NDArray[np.float32]:
    """The one map of a batch of one."""
    return np.asarray(batch[0].float().cpu().numpy(), np.float32)


def _facts(seen: Seen) -> dict[str, Any]:
    """What the page says of an image: of every map the lowest and the highest value."""
    points = [
        {"point": at.point, "before": span(at.before), "attention": span(at.attention), "after": span(at.after)}
        for at in seen.points
    ]
    known = {"name": seen.sample.name, "defect": seen.sample.defect, "probability": seen.probability}
    return {**known, "difference": span(seen.difference), "points": points}
