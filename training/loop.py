"""The training itself, by Lightning: what a step is, what is kept of an epoch, and the trainer."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from torch import Tensor
from torch.utils.data import DataLoader

from edgead.atomic import write_atomic
from edgead.errors import TrainingError
from edgead.training.checkpoint import SafetensorsIO
from edgead.training.data import EpochSampler, Examples, as_it_is
from edgead.training.models import DetectorModule
from edgead.training.options import FitOptions
from edgead.training.run import write_weights

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


def trainer_of(options: FitOptions, **more: Any) -> lightning.Trainer:
    """Lightning's trainer with the flags of the options, and no advertisement. Raises what Lightning does for flags
    that it does not take."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        return lightning.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy=options.strategy,
            num_nodes=options.num_nodes,
            precision=options.precision,  # type: ignore[arg-type]  # Lightning lists its literals
            logger=False,
            enable_model_summary=False,
            **more,
        )


def run_epochs(
    fitting: Fitting, examples: tuple[Examples, Examples], folder: Path, history: History, resume: bool
) -> None:
    """Train on the first of `examples`, validate on the second, and keep in `folder` what the run can go on from; with
    `resume` from there. Raises TrainingError when interrupted."""
    options, watched = fitting.fit_options, sys.stderr.isatty()
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
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
        trainer = trainer_of(
            options,
            max_epochs=options.epochs,
            gradient_clip_val=options.gradient_clip or None,
            deterministic="warn",
            callbacks=callbacks,
            plugins=[SafetensorsIO()],
            enable_progress_bar=watched,
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
