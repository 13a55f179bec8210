"""A network with five attention points, which both networks of LEA-Net are."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from edgead.training.backbones.base import Chain, Step

POINTS = (1, 2, 3, 4, 5)
"""The attention points' numbers, shallow to deep (Figure 2)."""


class PointedNetwork(Chain):
    """A backbone without its classifier, attention points behind five of its steps, and a head of its own.

    channels, strides: of the features at points 1 to 5; strides in pixels of the image.
    """

    def __init__(self, steps: Iterable[Step], points: tuple[str, ...], head: Iterable[Step]) -> None:
        """points: the taps behind which the attention points lie, shallow to deep."""
        body = list(takewhile(lambda step: step.path != "avgpool", steps))
        super().__init__([*body, *head])
        tapped = [step for step in body if step.tap in points]
        self.channels = tuple(step.channels for step in tapped)
        self.strides = tuple(step.stride for step in tapped)
        self._points = {step.path: number for number, step in zip(POINTS, tapped, strict=True)}
