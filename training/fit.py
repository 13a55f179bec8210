"""Training with Lightning: from samples to a run folder, interruptible, resumable to the same result."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from torch import Tensor
from torch.utils.data import DataLoader

from edgead.atomic import write_atomic
from edgead.data.layout import Sample, split_validation
from edgead.errors import TrainingError
from edgead.progress import Progress, silent
from edgead.training.checkpoint import SafetensorsIO
from edgead.training.data import EpochSampler, Examples, as_it_is
from edgead.training.features import collect
from edgead.training.labels import with_defects
from edgead.training.models import DetectorModule, build
from edgead.training.models import family as family_class
from edgead.training.models.base import DefectLearner, Foundation
from edgead.training.options import FitOptions
from edgead.training.pictures import Photographs, Pictures
from edgead.training.run import WEIGHTS, Run, load_model, read_run, write_weights

RESUME = "resume.safetensors"


class Fitting(lightning.LightningModule):
    """A detector module as Lightning trains it: its own loss, one optimizer, no wait for the device in a step."""

    def __init__(self, model: DetectorModule, options: FitOptions, *, extracted: bool) -> None:
        super().__init__()
        self.model, self.fit_options, self._extracted = model, options, extracted
        self._loss: Callable[..., Tensor] = model.training_loss
        if options.compile:
            self._loss = torch.compile(model.training_loss)

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        loss = self._loss(self._inputs(batch[0]), *batch[1:])
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        loss = self.model.validation_loss(self._inputs(batch[0]), *batch[1:])
        self.log("validation_loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch[0]))

    def _inputs(self, batch: Tensor) -> Tensor:
        if self._extracted:
            return batch
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.model.frozen_features):
            return self.model.extract(batch)

    def on_train_epoch_start(self) -> None:
        # Noise of an epoch depends on the seed and the epoch alone, so that a resumed run draws what it would have
        # drawn.
        torch.manual_seed(self.fit_options.seed * 1_000_003 + self.current_epoch)

    def configure_optimizers(self) -> Any:
        options, size = self.fit_options, self.model.options
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        rate = options.learning_rate or self.model.learning_rate
        optimizer: torch.optim.Optimizer
        if options.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, rate or 0.1 / (size.height * size.width * 3), momentum=0.9)
        elif options.optimizer == "adamw":
            optimizer = torch.optim.AdamW(parameters, rate or 1e-4, weight_decay=options.weight_decay)
        else:
            kind = torch.optim.Adam if options.optimizer == "adam" else torch.optim.RMSprop
            optimizer = kind(parameters, rate or 1e-3)
        if not options.decay_epochs:
            return optimizer
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, options.decay_epochs, gamma=0.1)]


class History(Callback):
    """Keeps the losses of every epoch in `history.jsonl`, and the weights of the epoch with the lowest validation
    loss, or of the last."""

    def __init__(self, folder: Path, keep: str, after_epoch: Callable[[int, DetectorModule], None] | None) -> None:
        self._folder, self._keep, self._after_epoch = folder, keep, after_epoch
        self.epochs: list[dict[str, float]] = []

    @property
    def best(self) -> dict[str, float]:
        """The epoch whose weights are kept."""
        if self._keep == "last":
            return self.epochs[-1]
        return min(self.epochs, key=lambda epoch: epoch["validation_loss"])

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        losses = {name: float(trainer.callback_metrics[name]) for name in ("train_loss", "validation_loss")}
        if not all(map(math.isfinite, losses.values())):
            raise TrainingError(
                f"the loss is {losses['train_loss']}", f"epoch {trainer.current_epoch}", "lower the learning rate"
            )
        self.epochs.append({"epoch": trainer.current_epoch, **losses})
        if trainer.is_global_zero:
            assert isinstance(module, Fitting)
            if self.best is self.epochs[-1]:
                write_weights(self._folder, module.model)
            write_atomic(self._folder / "history.jsonl", "".join(json.dumps(epoch) + "\n" for epoch in self.epochs))
            if self._after_epoch is not None:
                # Whoever looks at the model draws no number that training would have drawn.
                mode = module.model.training
                with torch.random.fork_rng(), torch.no_grad():
                    self._after_epoch(trainer.current_epoch, module.model.eval())
                module.model.train(mode)


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
    options.check()
    torch.manual_seed(options.seed)
    model = build(family, dict(model_options or {}))
    foundation = model.options.foundation(options)
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
    if resume and (folder / "run.json").exists():
        before = read_run(folder)
        if not before.same_work(run):
            raise TrainingError(
                "the run was started with other options or images", folder, "give the same ones, or another folder"
            )
        if before.result:
            return load_model(folder)
    run.write(folder)
    history = History(folder, options.keep, after_epoch)
    extracted = model.frozen_features and options.features != "off"
    with torch.no_grad():
        inputs = examples[0].inputs.batches()
        model.prepare(inputs if extracted else map(model.extract, inputs))
    _train(Fitting(model, options, extracted=extracted), examples, folder, history, resume)
    result = {
        "epochs": len(history.epochs),
        "best_epoch": history.best["epoch"],
        "validation_loss": history.best["validation_loss"],
    }
    replace(run, result=result).write(folder)
    (folder / RESUME).unlink(missing_ok=True)
    return load_model(folder)


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


def _train(fitting: Fitting, examples: tuple[Examples, Examples], folder: Path, history: History, resume: bool) -> None:
    options, watched = fitting.fit_options, sys.stderr.isatty()
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    train, validation = examples
    # Batch norm cannot train on a single image, so a last batch that small joins no step.
    lonely = len(train) % options.batch_size == 1 and len(train) > 1
    pinned = torch.cuda.is_available()
    loaders = (
        DataLoader(
            train,
            options.batch_size,
            sampler=EpochSampler(train, options.seed),
            drop_last=lonely,
            collate_fn=as_it_is,
            pin_memory=pinned,
        ),
        DataLoader(validation, options.batch_size, collate_fn=as_it_is, pin_memory=pinned),
    )
    last = ModelCheckpoint(folder, Path(RESUME).stem, save_on_train_epoch_end=True, enable_version_counter=False)
    last.FILE_EXTENSION = Path(RESUME).suffix
    # The checkpoint comes last, so that it holds what the other callbacks know of the epoch.
    callbacks: list[Callback] = [history, EarlyStopping("validation_loss", patience=options.patience), last]
    if watched:
        callbacks.append(RichProgressBar())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        trainer = lightning.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy=options.strategy,
            num_nodes=options.num_nodes,
            precision=options.precision,  # type: ignore[arg-type]  # Lightning lists its literals
            max_epochs=options.epochs,
            gradient_clip_val=options.gradient_clip or None,
            deterministic="warn",
            callbacks=callbacks,
            plugins=[SafetensorsIO()],
            logger=False,
            enable_progress_bar=watched,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        resumable = folder / RESUME
        try:
            trainer.fit(fitting, *loaders, ckpt_path=resumable if resume and resumable.exists() else None)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C
            done = len(history.epochs)
            raise TrainingError(
                f"interrupted after {done} epochs", folder, "run the same command with --resume to go on"
            ) from stop
