"""ADTR: a transformer that rebuilds features from a learned query (You et al. 2022, "ADTR: Anomaly Detection
Transformer with Feature Reconstruction").

To copy its input, the attention of Eq. 5 would need a query like that input; a query learned from good parts is like
none of the bad ones. Numbers that the paper's text leaves out come from secondary sources: 256 pixels, AdamW at 1e-4, a
batch of 16, 500 epochs with a tenth of the rate after 400, are recalled and not quoted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from edgead.training.models.reconstruction import FeatureReconstruction, TransformerOptions
from edgead.training.models.transformer import CrossLayer, EncoderLayer, FeedForward, LearnedPositions, Residual, xavier


@dataclass(frozen=True)
class AdtrOptions(TransformerOptions):
    """Hyper-parameters of ADTR. attention and query are the ablations of the paper's Sec. 4.4."""

    height: int = field(default=256, metadata={"help": "height of the network's input, pixels"})
    width: int = field(default=256, metadata={"help": "width of the network's input, pixels"})
    feature_height: int = field(default=16, metadata={"help": "rows of the grid of feature tokens"})
    feature_width: int = field(default=16, metadata={"help": "columns of the grid of feature tokens"})
    attention: bool = field(default=True, metadata={"help": "off: feed-forward layers alone, an ablation"})
    query: bool = field(
        default=True, metadata={"help": "off: the decoder starts from the encoder's output, an ablation"}
    )

    default_taps: ClassVar[tuple[str, ...]] = (
        "features.1",
        "features.2",
        "features.3",
        "features.5",
        "features.7",
    )  # 720 channels


class Alone(nn.Module):
    """A layer without attention: every token by itself."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.feed_forward = FeedForward(channels, hidden, dropout)
        self.after = Residual(channels, dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.after(tokens, self.feed_forward(tokens))  # type: ignore[no-any-return]


class Adtr(FeatureReconstruction):
    """ADTR: a transformer that rebuilds features from a learned query.

    tokens -> 1x1 convolution -> encoder -> decoder, asked by one learned query -> 1x1 convolution -> tokens.
    """

    family = "adtr"
    Options: ClassVar[type[AdtrOptions]] = AdtrOptions
    options: AdtrOptions
    fit_defaults: ClassVar[dict[str, Any]] = {
        "epochs": 500,
        "batch_size": 16,
        "optimizer": "adamw",
        "learning_rate": 1e-4,
        "weight_decay": 1e-4,
        "decay_epochs": 400,
        "patience": 100,
    }

    def __init__(self, options: AdtrOptions) -> None:
        super().__init__(options)
        options = self.options
        grid = (options.feature_height, options.feature_width)
        sizes = (options.hidden, options.heads, options.feed_forward, options.dropout, grid)
        alone = (options.hidden, options.feed_forward, options.dropout)
        self.input = nn.Linear(self.extractor.channels, options.hidden)  # on tokens a 1x1 convolution is a linear layer
        self.output = nn.Linear(options.hidden, self.extractor.channels)
        layers = options.encoder_layers, options.decoder_layers
        if options.attention:
            self.positions = LearnedPositions(*grid, options.hidden)
            self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers[0]))
            self.decoder = nn.ModuleList(CrossLayer(*sizes) for _ in range(layers[1]))
            if options.query:
                self.query = nn.Parameter(torch.randn(grid[0] * grid[1], options.hidden))
        else:
            self.layers = nn.ModuleList(Alone(*alone) for _ in range(sum(layers)))
        xavier(self.input)
        xavier(self.output)
        for name in ("encoder", "decoder", "layers"):
            if hasattr(self, name):
                xavier(getattr(self, name))

    def reconstruct(self, tokens: Tensor) -> Tensor:
        memory = self.input(tokens)
        if not self.options.attention:
            for layer in self.layers:
                memory = layer(memory)
            return self.output(memory)  # type: ignore[no-any-return]
        positions = self.positions()
        for layer in self.encoder:
            memory = layer(memory, positions)
        output = self.query.expand_as(memory) if self.options.query else memory
        for layer in self.decoder:
            assert isinstance(layer, CrossLayer)
            output = layer.attend(output, output, memory, positions)
        return self.output(output)  # type: ignore[no-any-return]

    def training_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """L_norm = ||f - f_hat||^2 / (H W): summed over channels, the mean over places and images."""
        return super().training_loss(inputs) * inputs.shape[2]
