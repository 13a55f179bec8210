"""Detectors that reconstruct the features of a frozen backbone: what cannot be rebuilt is anomalous."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from edgead.errors import TrainingError
from edgead.progress import Progress, silent
from edgead.training.backbones import fingerprint, load_weights
from edgead.training.models.base import Answer, DetectorModule, ModelOptions
from edgead.training.models.extractor import FeatureExtractor, FeatureOptions


@dataclass(frozen=True)
class TransformerOptions(FeatureOptions):
    """The transformer that rebuilds the features; UniAD's and ADTR's have the same size."""

    hidden: int = field(default=256, metadata={"help": "channels inside the transformer"})
    encoder_layers: int = field(default=4, metadata={"help": "layers of the encoder"})
    decoder_layers: int = field(default=4, metadata={"help": "layers of the decoder"})
    heads: int = field(default=8, metadata={"help": "heads of every attention"})
    feed_forward: int = field(default=1024, metadata={"help": "channels of the feed-forward layers"})
    dropout: float = field(default=0.1, metadata={"help": "dropout in training"})

    def check(self) -> None:
        super().check()
        faults = {
            f"{self.hidden} channels do not divide into {self.heads} heads": self.heads < 1
            or self.hidden < 1
            or self.hidden % self.heads != 0,
            f"{self.hidden} channels do not halve into rows and columns": self.hidden % 2 != 0,
            "the transformer has to have layers": min(self.encoder_layers, self.decoder_layers, self.feed_forward) < 1,
            f"dropout {self.dropout} is not in 0..1": not 0 <= self.dropout < 1,
        }
        for fault, present in faults.items():
            if present:
                raise TrainingError(fault, "transformer", "change the option")


class FeatureReconstruction(DetectorModule):
    """image -> tokens f of a frozen backbone -> their reconstruction f_hat -> ||f - f_hat||_2 at each place -> score.

    A subclass writes `reconstruct`, and `training_loss` where it is not the mean squared error.
    """

    frozen_features: ClassVar[bool] = True
    options: FeatureOptions

    def __init__(self, options: ModelOptions) -> None:
        assert isinstance(options, FeatureOptions)
        super().__init__(options.resolve())
        self.extractor = FeatureExtractor(self.options)

    @abstractmethod
    def reconstruct(self, tokens: Tensor) -> Tensor:
        """Standardised tokens [N, T, C] -> their reconstruction, the same shape."""

    def load_backbone(self, source: str, progress: Progress = silent) -> str:
        return load_weights(self.extractor.backbone, source, progress=progress)

    def extract(self, image: Tensor) -> Tensor:
        return self.extractor(image)  # type: ignore[no-any-return]

    def features_key(self) -> str:
        options = self.options
        size = f"{options.height}x{options.width}>{options.feature_height}x{options.feature_width}"
        return (
            f"{options.backbone}:{options.taps}:{options.feature_resize}:{size}:{fingerprint(self.extractor.backbone)}"
        )

    def prepare(self, inputs: Iterable[Tensor]) -> None:
        self.extractor.fit_statistics(inputs)

    def answer(self, inputs: Tensor) -> Answer:
        tokens = self.extractor.standardised(inputs)
        return self.score_map(self.distance(tokens, self.reconstruct(tokens)))

    def distance(self, tokens: Tensor, rebuilt: Tensor) -> Tensor:
        """ADTR Eq. 3, s(u) = ||f(u) - f_hat(u)||_2: float [N, T, C] twice -> [N, feature_height, feature_width]."""
        distance = (rebuilt.float() - tokens.float()).square().sum(dim=2).sqrt()
        return distance.reshape(-1, *self.extractor.grid)

    def score_map(self, distance: Tensor) -> Answer:
        """Distances on the grid -> a map of the image's size, and the score."""
        options = self.options
        # align_corners, as UniAD's authors have it: the outermost tokens lie on the border of the map.
        size = (options.height, options.width)
        anomaly_map = F.interpolate(distance[:, None], size, mode="bilinear", align_corners=True)
        if options.score == "mean":
            score = anomaly_map.mean(dim=(1, 2, 3))
        else:
            score = F.avg_pool2d(anomaly_map, options.score_pool, 1).amax(dim=(1, 2, 3))
        return Answer(anomaly_map[:, 0], score)

    def training_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """Mean squared error of the reconstruction, over images, tokens and channels."""
        tokens = self.extractor.standardised(inputs)
        return F.mse_loss(self.reconstruct(self.disturb(tokens)).float(), tokens.float())

    def disturb(self, tokens: Tensor) -> Tensor:
        """What training does to the tokens before they are reconstructed: nothing, unless a subclass says so."""
        return tokens


def l2_norm(tokens: Tensor) -> Tensor:
    """float [N, T, C] -> the L2 norm of each token, [N, T, 1]."""
    norm: Tensor = torch.linalg.vector_norm(tokens, dim=2, keepdim=True)
    return norm
