"""How a detector is trained: the options that every family shares, each with its family's default."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from edgead.errors import TrainingError

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
FEATURES = ("memory", "disk", "off")
KEEP = ("best", "last")


@dataclass(frozen=True)
class FitOptions:
    """How to train. learning_rate None: 1e-4 for AdamW, 1e-3 for Adam and RMSprop; for SGD 0.1 / (height * width * 3),
    since LAMP's Eq. 1 sums over them. A family may have other defaults: its `fit_defaults`.

    accelerator, devices, strategy, num_nodes and precision are Lightning's own flags.
    """

    epochs: int = field(default=100, metadata={"help": "epochs at most"})
    batch_size: int = field(default=16, metadata={"help": "images in a step, on each device"})
    optimizer: str = field(default="adam", metadata={"help": "optimizer", "choices": OPTIMIZERS})
    learning_rate: float | None = field(
        default=None, metadata={"help": "learning rate; by default it suits the optimizer"}
    )
    weight_decay: float = field(default=0.0, metadata={"help": "weight decay, of AdamW alone"})
    gradient_clip: float = field(default=0.0, metadata={"help": "largest L2 norm of the gradient; 0: any"})
    decay_epochs: int = field(
        default=0, metadata={"help": "epochs after which the learning rate falls to a tenth; 0: it stays"}
    )
    patience: int = field(default=20, metadata={"help": "stop after this many epochs without a better validation loss"})
    keep: str = field(
        default="best",
        metadata={"help": "which epoch's weights: the best by the validation loss, or the last", "choices": KEEP},
    )
    validation: float = field(
        default=0.2, metadata={"help": "share of the normal training images held out for validation"}
    )
    features: str = field(
        default="memory",
        metadata={
            "help": "the features of a frozen backbone, computed once: kept in memory, on disk for later runs too, or "
            "off: computed at every step",
            "choices": FEATURES,
        },
    )
    compile: bool = field(default=False, metadata={"help": "compile the training step with torch.compile"})
    seed: int = field(default=0, metadata={"help": "seed of everything random"})
    threads: int = field(default=0, metadata={"help": "CPU threads; 0: all cores. The same count gives the same bits"})
    accelerator: str = field(default="auto", metadata={"help": "cpu, cuda or auto"})
    devices: str = field(default="auto", metadata={"help": "how many devices, or which"})
    strategy: str = field(default="auto", metadata={"help": "ddp for several processes"})
    num_nodes: int = field(default=1, metadata={"help": "machines"})
    precision: str = field(default="32-true", metadata={"help": "32-true, bf16-mixed or 16-mixed"})

    @property
    def device(self) -> torch.device:
        """Where features are computed: a GPU if there is one and the training may use it."""
        cuda = self.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available()
        return torch.device("cuda" if cuda else "cpu")

    def check(self) -> None:
        """Raise TrainingError for values that cannot be."""
        for name, value, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("choice of features", self.features, FEATURES),
            ("choice of weights to keep", self.keep, KEEP),
        ):
            if value not in known:
                raise TrainingError(f"no {name} {value!r}", "training", f"choose one of {', '.join(known)}")
        if min(self.epochs, self.batch_size, self.patience) < 1:
            raise TrainingError(
                "epochs, batch size and patience have to be at least 1", "training", "change the option"
            )
        if min(self.weight_decay, self.gradient_clip, self.decay_epochs) < 0:
            raise TrainingError(
                "weight decay, gradient clip and decay epochs cannot be negative", "training", "change the option"
            )
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise TrainingError(f"learning rate {self.learning_rate} is not positive", "training", "change the option")
