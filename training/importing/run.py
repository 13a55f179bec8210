"""A checkpoint of UniAD's authors -> a finished run folder, which the other commands take like a trained one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgead.data.layout import Sample, split_validation
from edgead.errors import TrainingError
from edgead.progress import Progress, silent
from edgead.training.backbones import IMAGENET
from edgead.training.features import Inputs, collect
from edgead.training.importing.checkpoint import Checkpoint, check_state, read_checkpoint
from edgead.training.importing.efficientnet import BACKBONE, STEM, load_backbone
from edgead.training.importing.names import sizes_of, tensor_names
from edgead.training.importing.options import ImportOptions, uniad_options
from edgead.training.models.uniad import Uniad
from edgead.training.pictures import Photographs
from edgead.training.run import Run, write_weights

AUTO = "auto"
"""In place of weights for the backbone: those in the checkpoint, or ImageNet's where it has none."""


@dataclass(frozen=True)
class Imported:
    """run: what `run.json` says. own_backbone: whether the backbone's weights came from the checkpoint. padded: whether
    it was trained on the authors' EfficientNet and the run's backbone pads another way."""

    run: Run
    own_backbone: bool
    padded: bool


def import_uniad(
    path: Path,
    samples: Sequence[Sample],
    folder: Path,
    *,
    options: ImportOptions | None = None,
    weights: str = AUTO,
    root: Path | None = None,
    progress: Progress = silent,
) -> Imported:
    """Make a run folder from a checkpoint that the code of UniAD's authors (github.com/zhiyuanyou/UniAD) has saved.

    With the default backbone and the checkpoint's own weights for it, map and score are those of the authors' code on
    the same pixels, up to rounding. Any other EfficientNet pads another way (`edgead.training.importing.efficientnet`):
    its taps see other places, scores differ, and published metrics do not carry over unmeasured.

    `samples` are normal; a share of them, drawn by the seed, is what the thresholds are fitted on. They should be none
    that the checkpoint was trained on: those have lower scores than new parts. `weights`: `auto`, or as in `fit`.
    `root` is the data folder, noted in the run so that export finds it again. Raises TrainingError, before anything is
    written, for a checkpoint that cannot be read without running it, does not fit, or is of another variant; DataError
    for an image that cannot be read.
    """
    options = options or ImportOptions()
    if folder.exists() and any(folder.iterdir()):
        raise TrainingError("the folder is not empty", folder, "give another folder")
    held_out = split_validation(samples, options.validation, options.seed)[1]
    torch.manual_seed(options.seed)
    checkpoint = read_checkpoint(path)
    model = uniad_of(checkpoint, options)
    backbone, digest = checkpoint.part("backbone"), ""
    own = weights == AUTO and bool(backbone)
    if own:
        load_backbone(model.extractor.backbone, backbone, path)
    elif weights != "none":
        digest = model.load_backbone(IMAGENET if weights == AUTO else weights, progress)
    inputs = collect(
        model, Photographs(held_out, model.options.height, model.options.width), "memory", progress=progress
    )
    data = {
        "name": root.name if root else "",
        "classes": sorted({sample.category for sample in samples}),
        "train_images": 0,  # this folder's; which ones the checkpoint was trained on it does not tell
        "validation_images": len(held_out),
        "sha256": inputs.digest,
        "checkpoint": checkpoint.sha256,
    }
    data |= {"weights": digest} if digest else {}
    result = {
        "epochs": checkpoint.epoch,
        "best_epoch": max(checkpoint.epoch - 1, 0),
        "validation_loss": _loss(model, inputs),
    }
    fit = {"validation": options.validation, "seed": options.seed}
    run = Run(model.family, model.options.to_json(), fit, data, result, str(root.resolve()) if root else "")
    write_weights(folder, model)
    run.write(folder)  # last: a folder without it is no run
    return Imported(run, own, STEM in backbone and model.options.backbone != BACKBONE)


def uniad_of(checkpoint: Checkpoint, options: ImportOptions) -> Uniad:
    """Our model with the weights of a checkpoint, those of its backbone left out, in eval mode."""
    own = {
        name.removeprefix("reconstruction."): tensor
        for name, tensor in checkpoint.state.items()
        if not name.startswith("backbone.")
    }
    sizes = sizes_of(own, checkpoint.path)
    model = Uniad(uniad_options(checkpoint, sizes, options))
    extractor = model.extractor
    if extractor.channels != sizes.channels:
        raise TrainingError(
            f"the checkpoint rebuilds {sizes.channels} channels, and {extractor.options.backbone} has "
            f"{extractor.channels} at {extractor.options.taps}",
            checkpoint.path,
            "give --backbone and --taps as it was trained",
        )
    mine, names = model.state_dict(), tensor_names(sizes)
    shapes = {
        theirs: torch.Size([sum(len(mine[part]) for part in ours), *mine[ours[0]].shape[1:]])
        for theirs, ours in names.items()
    }
    check_state(own, shapes, names, checkpoint.path)
    for theirs, ours in names.items():
        for name, tensor in zip(ours, own[theirs].chunk(len(ours)), strict=True):
            mine[name] = tensor
    model.load_state_dict(mine)
    return model.eval()


def _loss(model: Uniad, inputs: Inputs) -> float:
    """The mean loss of the images, each counting alike."""
    total = 0.0
    with torch.no_grad():
        for batch in inputs.batches():
            total += float(model.validation_loss(batch)) * len(batch)
    return total / len(inputs)
