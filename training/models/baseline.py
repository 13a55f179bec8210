"""Plain reconstructions of features, to show what UniAD and ADTR avoid: the longer they train, the better they copy
defects.

The three of UniAD's comparison: a perceptron, a convolutional network and a transformer, with nothing against the
identical shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from edgead.errors import TrainingError
from edgead.training.models.reconstruction import FeatureReconstruction, TransformerOptions
from edgead.training.models.transformer import EncoderLayer, LearnedPositions, xavier

NETWORKS = ("mlp", "cnn", "transformer")


@dataclass(frozen=True)
class BaselineOptions(TransformerOptions):
    """Which network rebuilds the features; its depth is that of encoder and decoder together."""

    network: str = field(default="mlp", metadata={"help": "what rebuilds the features", "choices": NETWORKS})

    def check(self) -> None:
        super().check()
        if self.network not in NETWORKS:
            raise TrainingError(f"no network {self.network!r}", "baseline", f"choose one of {', '.join(NETWORKS)}")


class Baseline(FeatureReconstruction):
    """A plain MLP, CNN or transformer that rebuilds features: for comparison, not for a line."""

    family = "baseline"
    Options = BaselineOptions
    options: BaselineOptions
    fit_defaults: ClassVar[dict[str, Any]] = {
        "epochs": 200,
        "batch_size": 8,
        "optimizer": "adamw",
        "learning_rate": 1e-4,
        "weight_decay": 1e-4,
        "gradient_clip": 0.1,
        "keep": "last",
        "patience": 200,
    }

    def __init__(self, options: BaselineOptions) -> None:
        super().__init__(options)
        options, grid = self.options, self.extractor.grid
        layers = options.encoder_layers + options.decoder_layers
        self.input = nn.Linear(self.extractor.channels, options.hidden)
        self.output = nn.Linear(options.hidden, self.extractor.channels)
        body: list[nn.Module] = []
        for _ in range(layers):
            if options.network == "mlp":
                body += [nn.Linear(options.hidden, options.hidden), nn.ReLU()]
            elif options.network == "cnn":
                body += [nn.Conv2d(options.hidden, options.hidden, 3, padding=1), nn.ReLU()]
            else:
                body.append(EncoderLayer(options.hidden, options.heads, options.feed_forward, options.dropout, grid))
        self.body = nn.ModuleList(body)
        if options.network == "transformer":
            self.positions = LearnedPositions(*grid, options.hidden)
        for part in (self.input, self.body, self.output):
            xavier(part)

    def reconstruct(self, tokens: Tensor) -> Tensor:
        hidden = self.input(tokens)
        if self.options.network == "cnn":
            image = hidden.transpose(1, 2).unflatten(2, self.extractor.grid)
            for layer in self.body:
                image = layer(image)
            hidden = image.flatten(2).transpose(1, 2)
        elif self.options.network == "mlp":
            for layer in self.body:
                hidden = layer(hidden)
        else:
            positions = self.positions()
            for layer in self.body:
                hidden = layer(hidden, positions)
        return self.output(hidden)  # type: ignore[no-any-return]
