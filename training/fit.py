"""From samples to a run folder: what is read and split, what is trained first, and what the run keeps."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from edgead.data.layout import Sample, split_validation
from edgead.errors import TrainingError
from edgead.progress import Progress, silent
from edgead.training.data import Examples
from edgead.training.features import collect
from edgead.training.labels import with_defects
from edgead.training.loop import RESUME, Fitting, History, run_epochs, trainer_of
from edgead.training.models import DetectorModule, build
from edgead.training.models import family as family_class
from edgead.training.models.base import DefectLearner, Foundation
from edgead.training.options import FitOptions
from edgead.training.pictures import Photographs, Pictures
from edgead.training.run import WEIGHTS, Run, load_model, read_run

_SEEDS = 1 << 32


def fit(
    family: str,
    samples: Sequence[Sample],
    folder: Path,
    *,
    model_options: Mapping[str, Any] | None = None,
    options: FitOptions | None = None,
    weights: str = "none",
    defects: Sequence[Sample] = (),
    resume: bool = False,
    root: Path | None = None,
    progress: Progress = silent,
    after_epoch: Callable[[int, DetectorModule], None] | None = None,
) -> DetectorModule:
    """Train a detector on normal images and leave a run folder; returns the model of the best epoch, in eval mode.

    `samples` are normal; a share of them, drawn by the seed, is held out for early stopping and later for the
    thresholds. `weights`: a path or URL of published weights for a family with a frozen backbone, `imagenet` for those
    of its authors, or `none`; for one with a foundation the run folder of that, or `none` to train it first, in a
    folder inside this one. `defects`: images of bad parts, for a family that learns from them; where it classifies, as
    large a share of them is held out. `options`: the family's own defaults where None. With `resume` an interrupted run
    goes on from its last whole epoch and ends as if it had never stopped; a finished one is left as it is. `root` is
    the data folder, noted in the run so that export finds it again. `after_epoch` is called with each epoch's number,
    from 0, and the model in eval mode, to look at and not to change; training is the same without it. Raises
    TrainingError, before anything is written, for options, weights or a folder that do not fit, and when interrupted;
    DataError for an image that cannot be read.
    """
    options = options or fit_options(family)
    _check(options)
    torch.manual_seed(options.seed)
    model = build(family, dict(model_options or {}))
    if min(model.options.height, model.options.width) < 1:
        what = f"an input of {model.options.height} x {model.options.width} pixels is empty"
        raise TrainingError(what, family, "change the option")
    foundation = model.options.foundation(options)
    if model.founded_on and not foundation and weights != "none":
        raise TrainingError(f"with these options {family} has no {model.founded_on}", weights, "leave it out")
    digest = model.load_backbone(weights, progress) if weights != "none" and not model.founded_on else ""
    train, validation = split_validation(samples, options.validation, options.seed)
    bad, bad_validation = _split_defects(model, defects, options)
    base = folder / foundation.family if foundation and weights == "none" else None
    _claim(folder, resume, base)
    if foundation:
        digest = _lay(model, foundation, train, base, weights, progress)
    examples = (
        _examples(model, train, bad, options, progress),
        _examples(model, validation, bad_validation, options, progress),
    )
    data = _data_record(train, validation, defects, examples, root, digest)
    run = Run(family, model.options.to_json(), asdict(options), data, {}, str(root.resolve()) if root else "")
    if resume and _finished(run, folder):
        return load_model(folder)
    run.write(folder)
    history = History(folder, options.keep, after_epoch)
    extracted = model.frozen_features and options.features != "off"
    with torch.no_grad():
        inputs = examples[0].inputs.batches()
        model.prepare(inputs if extracted else map(model.extract, inputs))
    run_epochs(Fitting(model, options, extracted=extracted), examples, folder, history, resume)
    result = {
        "epochs": len(history.epochs),
        "best_epoch": history.best["epoch"],
        "validation_loss": history.best["validation_loss"],
    }
    replace(run, result=result).write(folder)
    (folder / RESUME).unlink(missing_ok=True)
    return load_model(folder)


def _check(options: FitOptions) -> None:
    """Raise TrainingError for values that cannot be, also for flags that Lightning would refuse only after the images
    are read."""
    options.check()
    if not 0 <= options.seed < _SEEDS:
        raise TrainingError(f"seed {options.seed} is not in 0 to {_SEEDS - 1}", "training", "change the option")
    if options.threads < 0:
        raise TrainingError(f"{options.threads} threads are too few", "training", "give 0 for all cores")
    if not all(map(math.isfinite, (options.weight_decay, options.gradient_clip, options.learning_rate or 0.0))):
        what = "learning rate, weight decay and gradient clip have to be finite numbers"
        raise TrainingError(what, "training", "change the option")
    try:
        trainer_of(options, enable_checkpointing=False, enable_progress_bar=False)
    except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
        what = f"Lightning refuses the flags: {' '.join(str(error).split())}"
        todo = "change the accelerator, devices, strategy, num nodes or precision"
        raise TrainingError(what, "training", todo) from error


def _finished(run: Run, folder: Path) -> bool:
    """Whether the run in the folder has nothing left to do. Raises TrainingError where it is of other work than `run`;
    there may be none yet."""
    if not (folder / "run.json").exists():
        return False
    before = read_run(folder)
    if not before.same_work(run):
        todo = "give the same ones, or another folder"
        raise TrainingError("the run was started with other options or images", folder, todo)
    return bool(before.result)


def _split_defects(
    model: DetectorModule, defects: Sequence[Sample], options: FitOptions
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """The images of bad parts to train and to validate on."""
    if not isinstance(model, DefectLearner):
        if defects:
            todo = "use leanet or adtr-plus, or leave them out"
            raise TrainingError(f"{model.family} does not learn from defects", "training", todo)
        return (), ()
    if not model.classifies:
        return defects, ()
    if not defects:
        what = f"{model.family} learns to tell bad parts from good ones, and there are no images of bad parts"
        raise TrainingError(what, "training", "give some with --defects, or use a detector that needs none")
    kinds = Counter(sample.category for sample in defects)
    if lonely := [kind for kind, count in kinds.items() if count < 2]:
        todo = "give at least 2: one to learn from, one to validate on"
        raise TrainingError(f"a single image of a bad part of {lonely[0]}", "training", todo)
    return split_validation(defects, options.validation, options.seed)


def _lay(
    model: DetectorModule,
    foundation: Foundation,
    train: Sequence[Sample],
    folder: Path | None,
    weights: str,
    progress: Progress,
) -> str:
    """Give the model its foundation: the run in `weights`, or one that is trained in `folder`, and goes on there if it
    was interrupted. It sees none of the images that are held out. Returns the SHA-256 of its weights."""
    if folder is None:
        folder = Path(weights)
        trained = load_model(folder)
    else:
        trained = fit(
            foundation.family,
            train,
            folder,
            model_options=foundation.options,
            options=foundation.fit,
            resume=(folder / "run.json").exists(),
            progress=progress,
        )
    model.build_on(trained)
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def _data_record(
    train: Sequence[Sample],
    validation: Sequence[Sample],
    defects: Sequence[Sample],
    examples: Sequence[Examples],
    root: Path | None,
    weights: str,
) -> dict[str, Any]:
    """What the run notes of its images and of the weights, given by their digest."""
    data = {
        "name": root.name if root else "",
        "classes": sorted({sample.category for sample in (*train, *validation)}),
        "train_images": len(train),
        "validation_images": len(validation),
        "sha256": hashlib.sha256("".join(part.inputs.digest for part in examples).encode()).hexdigest(),
    }
    data |= {"weights": weights} if weights else {}
    data |= {"defects": len(defects)} if defects else {}
    return data


def fit_options(name: str, **changes: Any) -> FitOptions:
    """The options with which a family is trained unless one says otherwise."""
    return FitOptions(**{**family_class(name).fit_defaults, **changes})


def _examples(
    model: DetectorModule, good: Sequence[Sample], defects: Sequence[Sample], options: FitOptions, progress: Progress
) -> Examples:
    """What training or validation reads: the inputs of the images, and labels where the detector learns from them."""
    pictures: Pictures = Photographs(good, model.options.height, model.options.width)
    labels: tuple[Tensor, ...] = ()
    if isinstance(model, DefectLearner):
        pictures, *found = with_defects(model, good, defects, options.seed)
        labels = tuple(found)
    inputs = collect(model, pictures, options.features, device=options.device, progress=progress)
    return Examples(inputs, *labels)


def _claim(folder: Path, resume: bool, foundation: Path | None) -> None:
    """Refuse to write over another run. foundation: the folder of what is trained first."""
    started = any((part / "run.json").exists() for part in (folder, foundation) if part)
    if resume and not started:
        raise TrainingError("there is no run to resume", folder, "leave out --resume")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise TrainingError("the folder is not empty", folder, "give --resume to go on with its run, or another folder")
    folder.mkdir(parents=True, exist_ok=True)
