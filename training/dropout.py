"""Dropout that is quick on a CPU, where torch's own spends its time on drawing one random number for each value."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def kept(like: Tensor, probability: float) -> Tensor:
    """Zeros with the probability, to a 65536th, and 1 / (1 - probability) elsewhere: 16 random bits for each decide."""
    drawn = torch.randint(-(2**63), 2**63 - 1, (-(-like.numel() // 4),), device=like.device)
    bits = drawn.view(torch.int16)[: like.numel()].view(like.shape)
    return (bits >= round(probability * 2**16) - 2**15).to(like.dtype).div_(1 - probability)


class Dropout(nn.Module):
    """In training each value is 0 with the probability, and scaled by 1 / (1 - probability) otherwise."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return values
        if values.device.type != "cpu":
            return F.dropout(values, self.probability)
        return values * kept(values, self.probability)
