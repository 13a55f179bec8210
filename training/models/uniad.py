"""UniAD: one model for all parts of a line (You et al. 2022, "A Unified Model for Multi-class Anomaly Detection").

Three things keep it from copying its input: attention that does not see the neighbourhood of the query, a learned query
in every layer of the decoder, and noise on the features in training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from edgead.training.models.reconstruction import FeatureReconstruction, TransformerOptions, l2_norm
from edgead.training.models.transformer import NO_WINDOW, CrossLayer, EncoderLayer, LearnedPositions, xavier
from edgead.training.operators import check_window


@dataclass(frozen=True)
class UniadOptions(TransformerOptions):
    """Hyper-parameters of UniAD, with its authors' values."""

    neighbor_height: int = field(default=7, metadata={"help": "rows of the window that attention may not see, odd"})
    neighbor_width: int = field(default=7, metadata={"help": "columns of that window, odd"})
    mask_encoder: bool = field(default=True, metadata={"help": "mask the window in the encoder"})
    mask_memory: bool = field(default=True, metadata={"help": "mask it where the decoder asks the encoder"})
    mask_previous: bool = field(default=True, metadata={"help": "mask it where it asks its previous layer"})
    jitter_scale: float = field(default=20.0, metadata={"help": "how strong the noise on the features is; 0: none"})
    jitter_probability: float = field(default=1.0, metadata={"help": "share of the training images that get noise"})

    def check(self) -> None:
        super().check()
        if self.mask_encoder or self.mask_memory or self.mask_previous:
            check_window(self.feature_height, self.feature_width, self.neighbor_height, self.neighbor_width)


class Uniad(FeatureReconstruction):
    """UniAD: one transformer that rebuilds the features of many parts.

    tokens -> linear -> neighbour masked encoder -> layer-wise query decoder -> norm -> linear -> tokens.
    """

    family = "uniad"
    Options = UniadOptions
    options: UniadOptions
    fit_defaults: ClassVar[dict[str, Any]] = {
        "epochs": 1000,
        "batch_size": 8,
        "optimizer": "adamw",
        "learning_rate": 1e-4,
        "weight_decay": 1e-4,
        "gradient_clip": 0.1,
        "decay_epochs": 800,
        "patience": 100,
    }

    def __init__(self, options: UniadOptions) -> None:
        super().__init__(options)
        options = self.options
        grid = (options.feature_height, options.feature_width)
        window = (options.neighbor_height, options.neighbor_width)
        encoder, memory, previous = (
            window if masked else NO_WINDOW
            for masked in (options.mask_encoder, options.mask_memory, options.mask_previous)
        )
        sizes = (options.hidden, options.heads, options.feed_forward, options.dropout, grid)
        self.input = nn.Linear(self.extractor.channels, options.hidden)
        self.positions = LearnedPositions(*grid, options.hidden)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes, encoder) for _ in range(options.encoder_layers))
        self.decoder = nn.ModuleList(CrossLayer(*sizes, (memory, previous)) for _ in range(options.decoder_layers))
        tokens = grid[0] * grid[1]
        self.queries = nn.ParameterList(torch.randn(tokens, options.hidden) for _ in self.decoder)
        self.norm = nn.LayerNorm(options.hidden)
        self.output = nn.Linear(options.hidden, self.extractor.channels)
        for part in (self.input, self.encoder, self.decoder, self.output):
            xavier(part)

    def reconstruct(self, tokens: Tensor) -> Tensor:
        positions = self.positions()
        memory = self.input(tokens)
        for layer in self.encoder:
            memory = layer(memory, positions)
        output = memory
        for query, layer in zip(self.queries, self.decoder, strict=True):
            assert isinstance(layer, CrossLayer)
            output = layer.attend(query.expand_as(memory), memory, output, positions)
        return self.output(self.norm(output))  # type: ignore[no-any-return]

    def disturb(self, tokens: Tensor) -> Tensor:
        """Feature jittering: noise N(0, 1) times the token's L2 norm, divided by C and multiplied by the scale."""
        options = self.options
        if not self.training or options.jitter_scale == 0:
            return tokens
        noise = torch.randn_like(tokens) * (l2_norm(tokens) * (options.jitter_scale / tokens.shape[2]))
        if options.jitter_probability < 1:
            chosen = torch.rand(len(tokens), 1, 1, device=tokens.device) < options.jitter_probability
            noise = noise * chosen
        return tokens + noise
