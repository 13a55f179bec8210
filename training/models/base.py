"""What every detector is to the rest of edgead: one module from pixels to score, with its own training loss."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edgead.errors import TrainingError
from edgead.progress import Progress, silent
from edgead.training.options import FitOptions


class Answer(NamedTuple):
    """anomaly_map: float32 [N, H, W], higher is more anomalous; score: float32 [N]. Raw units of the model.
    attention_map: float32 [N, H, W], where a model with attention has looked."""

    anomaly_map: Tensor
    score: Tensor
    attention_map: Tensor | None = None


class Foundation(NamedTuple):
    """The detector that is trained first, on the same good images, and then frozen inside another: its family, the
    options of its model, and how it is trained."""

    family: str
    options: Mapping[str, Any]
    fit: FitOptions


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """The hyper-parameters that every family has. Each field is a parameter and a command-line option of the same
    name."""

    height: int = dataclasses.field(default=256, metadata={"help": "height of the network's input, pixels"})
    width: int = dataclasses.field(default=256, metadata={"help": "width of the network's input, pixels"})

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def check(self) -> None:
        """Raise TrainingError where the options contradict each other, or cannot be."""

    def resolve(self) -> ModelOptions:
        """The same with nothing left open. Raises TrainingError as `check` does."""
        self.check()
        return self

    def foundation(self, fit: FitOptions) -> Foundation | None:
        """What is trained before a model of these options, given how that one is; None where nothing is."""
        return None


class DetectorModule(nn.Module, ABC):
    """A trainable detector.

    `forward` is the detector graph: uint8 [N, H, W, 3] RGB in, `Answer` out; everything that the deployed engine does,
    and nothing that only training needs. `training_loss` is what Lightning minimises, on what `extract` makes of the
    images: the part of the graph that training never changes, so that it can be computed once and kept.
    """

    family: ClassVar[str]
    Options: ClassVar[type[ModelOptions]]
    fit_defaults: ClassVar[dict[str, Any]] = {}
    """Where this family's training differs from the defaults of `FitOptions`."""
    frozen_features: ClassVar[bool] = False
    """Whether `extract` is a network worth keeping the results of; its weights are loaded, or those of a foundation."""
    founded_on: ClassVar[str] = ""
    """The family of the foundation, in a family that has one."""
    threshold: ClassVar[str] = "tail"
    """How the reject threshold is found where nobody says otherwise, one of `edgead.evaluation.thresholds.METHODS`."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `forward` gives, in the graph."""
        return ("anomaly_map", "score")

    @property
    def learning_rate(self) -> float | None:
        """The one that suits the model; None: the optimizer's."""
        return None

    def forward(self, image: Tensor) -> Answer:
        """uint8 [N, H, W, 3] RGB -> the map and the score."""
        return self.answer(self.extract(image))

    @abstractmethod
    def answer(self, inputs: Tensor) -> Answer:
        """What `extract` gave -> the map and the score."""

    @abstractmethod
    def training_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """What `extract` gave, of normal images unless there are labels -> the scalar to minimise."""

    def validation_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """The same for images held out -> the scalar that decides which epoch is best."""
        return self.training_loss(inputs, *labels)

    def extract(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB -> what `training_loss` takes; the images themselves where nothing is frozen."""
        return image

    def features_key(self) -> str:
        """Everything that `extract` depends on besides the images: equal keys give equal features."""
        return ""

    def prepare(self, inputs: Iterable[Tensor]) -> None:
        """Called once before training with everything that `extract` made of the training images, in batches."""

    def load_backbone(self, source: str, progress: Progress = silent) -> str:
        """Load published weights into what is frozen; returns the SHA-256 of the file. Raises TrainingError where the
        family has no backbone."""
        raise TrainingError(f"{self.family} has no backbone", source, "leave out --weights")

    def build_on(self, foundation: DetectorModule) -> None:
        """Take a trained foundation in, and freeze it. Raises TrainingError for one that does not fit."""
        raise TrainingError(f"{self.family} is built on nothing", foundation.family, "leave it out")


class DefectLearner(DetectorModule):
    """A detector that learns from bad parts as well, real ones and good ones that are spoilt on purpose.

    Its losses take two labels besides the inputs: float [N], 1 where the part is bad, and float [N, tokens], 1 where
    the defect is, 0 where there is none, -1 in the images of bad parts that nobody has painted.
    """

    grid: tuple[int, int]
    """Rows and columns of tokens."""

    classifies: ClassVar[bool] = False
    """Whether it learns to tell bad parts from good ones, so that it needs some, and holds out some for validation."""

    @property
    def spoilt_copies(self) -> int:
        """How many spoilt copies of every good image join the training."""
        return 0

    def spoil(
        self, image: NDArray[np.uint8], random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """A copy of uint8 [H, W, 3] with a defect that never was, and bool [H, W] where it is; by default none."""
        return image.copy(), np.zeros(image.shape[:2], np.bool_)
