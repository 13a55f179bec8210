"""What every detector is to the rest of edgead: one module from pixels to score, with its own training loss."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn


class Answer(NamedTuple):
    """anomaly_map: float32 [N, H, W], higher is more anomalous; score: float32 [N]. Raw units of the model."""

    anomaly_map: Tensor
    score: Tensor


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """The hyper-parameters that every family has. Each field is a parameter and a command-line option of the same
    name."""

    height: int = dataclasses.field(default=256, metadata={"help": "height of the network's input, pixels"})
    width: int = dataclasses.field(default=256, metadata={"help": "width of the network's input, pixels"})

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class DetectorModule(nn.Module, ABC):
    """A trainable detector.

    `forward` is the detector graph: uint8 [N, H, W, 3] RGB in, `Answer` out; everything that the deployed engine does,
    and nothing that only training needs. `training_loss` is what Lightning minimises.
    """

    family: ClassVar[str]
    Options: ClassVar[type[ModelOptions]]

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options

    @abstractmethod
    def forward(self, image: Tensor) -> Answer:
        """uint8 [N, H, W, 3] RGB -> the map and the score."""

    @abstractmethod
    def training_loss(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB, all normal -> the scalar to minimise."""

    def validation_loss(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB, normal and held out -> the scalar that decides which epoch is best."""
        return self.training_loss(image)
