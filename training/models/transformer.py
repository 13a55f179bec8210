"""The parts that the transformer detectors are made of: positions, attention, layers (post-norm, as in both papers)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgead.training.dropout import Dropout
from edgead.training.operators import attention_with_dropout, neighbor_masked_attention

Window = tuple[int, int]
NO_WINDOW: Window = (0, 0)


class LearnedPositions(nn.Module):
    """A learned vector for each token: half of it from its column, half from its row."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.rand(height, channels // 2))
        self.column = nn.Parameter(torch.rand(width, channels // 2))

    def forward(self) -> Tensor:
        """float [height * width, channels]."""
        height, width = len(self.row), len(self.column)
        column = self.column[None].expand(height, -1, -1)
        row = self.row[:, None].expand(-1, width, -1)
        return torch.cat([column, row], dim=2).flatten(0, 1)


class Attention(nn.Module):
    """Multi-head attention over a grid of tokens that may not look into the window around the query's own place."""

    def __init__(self, channels: int, heads: int, dropout: float, grid: tuple[int, int], window: Window) -> None:
        super().__init__()
        self.heads, self.dropout, self.grid, self.window = heads, dropout, grid, window
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.output = nn.Linear(channels, channels)
        bound = math.sqrt(6 / (4 * channels))  # Xavier-uniform of the three as one matrix [3C, C], as torch has it
        for layer in (self.query, self.key, self.value):
            nn.init.uniform_(layer.weight, -bound, bound)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """float [N, T, C] each -> [N, T, C]."""
        q, k, v = self.query(query), self.key(key), self.value(value)
        places = {
            "num_heads": self.heads,
            "height": self.grid[0],
            "width": self.grid[1],
            "neighbor_height": self.window[0],
            "neighbor_width": self.window[1],
        }
        if self.training and self.dropout > 0:
            mixed = attention_with_dropout(q, k, v, **places, dropout=self.dropout)
        else:
            mixed = neighbor_masked_attention(q, k, v, **places)
        return self.output(mixed)  # type: ignore[no-any-return]


class FeedForward(nn.Sequential):
    """Linear -> ReLU -> Linear, each token alone."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(channels, hidden), nn.ReLU(), Dropout(dropout), nn.Linear(hidden, channels))


class Residual(nn.Module):
    """norm(x + dropout(change)): how every sub-layer ends."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.norm = Dropout(dropout), nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, change: Tensor) -> Tensor:
        return self.norm(tokens + self.dropout(change))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward; positions are added to query and key, never to the value."""

    def __init__(
        self, channels: int, heads: int, hidden: int, dropout: float, grid: tuple[int, int], window: Window = NO_WINDOW
    ) -> None:
        super().__init__()
        self.attention = Attention(channels, heads, dropout, grid, window)
        self.feed_forward = FeedForward(channels, hidden, dropout)
        self.after_attention, self.after_feed_forward = (Residual(channels, dropout) for _ in range(2))

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        placed = tokens + positions
        tokens = self.after_attention(tokens, self.attention(placed, placed, tokens))
        return self.after_feed_forward(tokens, self.feed_forward(tokens))  # type: ignore[no-any-return]


class CrossLayer(nn.Module):
    """Two attentions and a feed-forward: what the decoders of UniAD and ADTR have in common."""

    def __init__(
        self,
        channels: int,
        heads: int,
        hidden: int,
        dropout: float,
        grid: tuple[int, int],
        windows: tuple[Window, Window] = (NO_WINDOW, NO_WINDOW),
    ) -> None:
        super().__init__()
        self.first, self.second = (Attention(channels, heads, dropout, grid, window) for window in windows)
        self.feed_forward = FeedForward(channels, hidden, dropout)
        self.after_first, self.after_second, self.after_feed_forward = (Residual(channels, dropout) for _ in range(3))

    def attend(self, tokens: Tensor, first: Tensor, second: Tensor, positions: Tensor) -> Tensor:
        """tokens [N, T, C] ask `first`, then `second`, then themselves alone."""
        placed = tokens + positions
        tokens = self.after_first(tokens, self.first(placed, first + positions, first))
        tokens = self.after_second(tokens, self.second(tokens + positions, second + positions, second))
        return self.after_feed_forward(tokens, self.feed_forward(tokens))  # type: ignore[no-any-return]


def xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for every linear layer; the projections into an attention keep their
    weights, which are Xavier-uniform as one matrix."""
    inside = {
        layer
        for part in module.modules()
        if isinstance(part, Attention)
        for layer in (part.query, part.key, part.value)
    }
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            if layer not in inside:
                nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
