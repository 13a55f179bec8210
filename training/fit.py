"""Training with Lightning: from samples to a run folder, interruptible, resumable to the same result."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from edgead.atomic import write_atomic
from edgead.data.layout import Sample, split_validation
from edgead.data.loading import load_images
from edgead.errors import TrainingError
from edgead.progress import Progress, silent
from edgead.training.checkpoint import SafetensorsIO
from edgead.training.data import EpochSampler, digest
from edgead.training.models import DetectorModule, build
from edgead.training.run import Run, load_model, read_run, write_weights

RESUME = "resume.safetensors"
OPTIMIZERS = ("adam", "rmsprop", "sgd")


@dataclass(frozen=True)
class FitOptions:
    """How to train. learning_rate None: 1e-3 for Adam and RMSprop; for SGD 0.1 / (height * width * 3), since Eq. 1 sums
    over them.

    accelerator, devices, strategy, num_nodes and precision are Lightning's own flags.
    """

    epochs: int = field(default=100, metadata={"help": "epochs at most"})
    batch_size: int = field(default=16, metadata={"help": "images in a step, on each device"})
    optimizer: str = field(default="adam", metadata={"help": "optimizer", "choices": OPTIMIZERS})
    learning_rate: float | None = field(
        default=None, metadata={"help": "learning rate; by default it suits the optimizer"}
    )
    patience: int = field(default=20, metadata={"help": "stop after this many epochs without a better validation loss"})
    validation: float = field(
        default=0.2, metadata={"help": "share of the normal training images held out for validation"}
    )
    seed: int = field(default=0, metadata={"help": "seed of everything random"})
    threads: int = field(default=0, metadata={"help": "CPU threads; 0: all cores. The same count gives the same bits"})
    accelerator: str = field(default="auto", metadata={"help": "cpu, cuda or auto"})
    devices: str = field(default="auto", metadata={"help": "how many devices, or which"})
    strategy: str = field(default="auto", metadata={"help": "ddp for several processes"})
    num_nodes: int = field(default=1, metadata={"help": "machines"})
    precision: str = field(default="32-true", metadata={"help": "32-true, bf16-mixed or 16-mixed"})

    def check(self) -> None:
        """Raise TrainingError for values that cannot be."""
        if self.optimizer not in OPTIMIZERS:
            raise TrainingError(
                f"no optimizer {self.optimizer!r}", "training", f"choose one of {', '.join(OPTIMIZERS)}"
            )
        if min(self.epochs, self.batch_size, self.patience) < 1:
            raise TrainingError(
                "epochs, batch size and patience have to be at least 1", "training", "change the option"
            )
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise TrainingError(f"learning rate {self.learning_rate} is not positive", "training", "change the option")


class Fitting(lightning.LightningModule):
    """A detector module as Lightning trains it: its own loss, one optimizer."""

    def __init__(self, model: DetectorModule, options: FitOptions) -> None:
        super().__init__()
        self.model, self.fit_options = model, options

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        loss = self.model.training_loss(batch[0])
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        loss = self.model.validation_loss(batch[0])
        self.log("validation_loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch[0]))

    def on_train_epoch_start(self) -> None:
        # Noise of an epoch depends on the seed and the epoch alone, so that a resumed run draws what it would have
        # drawn.
        torch.manual_seed(self.fit_options.seed * 1_000_003 + self.current_epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        rate, size = self.fit_options.learning_rate, self.model.options
        if self.fit_options.optimizer == "sgd":
            return torch.optim.SGD(self.parameters(), rate or 0.1 / (size.height * size.width * 3), momentum=0.9)
        kind = torch.optim.Adam if self.fit_options.optimizer == "adam" else torch.optim.RMSprop
        return kind(self.parameters(), rate or 1e-3)


class History(Callback):
    """Keeps the losses of every epoch in `history.jsonl`, and the weights of the epoch with the lowest validation
    loss."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.epochs: list[dict[str, float]] = []

    @property
    def best(self) -> dict[str, float]:
        """The epoch whose weights are kept."""
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


def fit(
    family: str,
    samples: Sequence[Sample],
    folder: Path,
    *,
    model_options: Mapping[str, Any] | None = None,
    options: FitOptions | None = None,
    resume: bool = False,
    root: Path | None = None,
    progress: Progress = silent,
) -> DetectorModule:
    """Train a detector on normal images and leave a run folder; returns the model of the best epoch, in eval mode.

    `samples` are normal; a share of them, drawn by the seed, is held out for early stopping and later for the
    thresholds. With `resume` an interrupted run goes on from its last whole epoch and ends as if it had never stopped;
    a finished one is left as it is. `root` is the data folder, noted in the run so that export finds it again. Raises
    TrainingError, before anything is written, for options or a folder that do not fit, and when interrupted.
    """
    options = options or FitOptions()
    options.check()
    model_options = dict(model_options or {})
    torch.manual_seed(options.seed)
    model = build(family, model_options)
    train, validation = split_validation(samples, options.validation, options.seed)
    _claim(folder, resume)
    size = (model.options.height, model.options.width)
    images = tuple(torch.from_numpy(load_images(part, *size, progress)) for part in (train, validation))
    data = {
        "name": root.name if root else "",
        "classes": sorted({sample.category for sample in samples}),
        "train_images": len(train),
        "validation_images": len(validation),
        "sha256": digest(torch.cat(images)),
    }
    run = Run(family, model.options.to_json(), asdict(options), data, {}, str(root.resolve()) if root else "")
    if resume:
        before = read_run(folder)
        if not before.same_work(run):
            raise TrainingError(
                "the run was started with other options or images", folder, "give the same ones, or another folder"
            )
        if before.result:
            return load_model(folder)
    run.write(folder)
    history = History(folder)
    _train(Fitting(model, options), images, folder, history, resume)
    result = {
        "epochs": len(history.epochs),
        "best_epoch": history.best["epoch"],
        "validation_loss": history.best["validation_loss"],
    }
    replace(run, result=result).write(folder)
    (folder / RESUME).unlink(missing_ok=True)
    return load_model(folder)


def _claim(folder: Path, resume: bool) -> None:
    """Refuse to write over another run."""
    started = (folder / "run.json").exists()
    if resume and not started:
        raise TrainingError("there is no run to resume", folder, "leave out --resume")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise TrainingError("the folder is not empty", folder, "give --resume to go on with its run, or another folder")
    folder.mkdir(parents=True, exist_ok=True)


def _train(fitting: Fitting, images: Sequence[Tensor], folder: Path, history: History, resume: bool) -> None:
    options, watched = fitting.fit_options, sys.stderr.isatty()
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    train, validation = (TensorDataset(part) for part in images)
    # Batch norm cannot train on a single image, so a last batch that small joins no step.
    lonely = len(train) % options.batch_size == 1 and len(train) > 1
    loaders = (
        DataLoader(train, options.batch_size, sampler=EpochSampler(train, options.seed), drop_last=lonely),
        DataLoader(validation, options.batch_size),
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
