"""The loss around a model's weights, in a plane of random directions, and how sharp it is there.

The method is that of Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018: a network computes the
same when the weights of a layer grow and those of the next one shrink, so a step of one length means something else in
each network. Directions whose every filter is as long as the model's own filter make steps that can be compared.

LAMP's Fig. 3 (Park et al. 2024) shows the landscapes of an encoder that was trained to classify; here it is the whole
detector with a loss of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from edgead.errors import TrainingError
from edgead.progress import Progress, silent
from edgead.training.models import DetectorModule
from edgead.training.models.base import DefectLearner

LOSSES = {"base": "validation_loss", "own": "training_loss"}
"""The loss -> the method of a model that says it."""

RADIUS = 0.5
"""Of the circle on which `Sharpness.rise` is measured, in lengths of a filter."""

_CIRCLE = [(RADIUS * math.cos(angle), RADIUS * math.sin(angle)) for angle in np.arange(16) * (math.tau / 16)]
_STEP = 0.05  # of the differences: their rounding is small, and the surface has hardly turned
_STENCIL = [(x * _STEP, y * _STEP) for y in (-1, 0, 1) for x in (-1, 0, 1)]
_BATCH = 64

Direction = dict[str, Tensor]
"""A step for each trainable parameter, by name."""


@dataclass(frozen=True)
class Sharpness:
    """How steep the loss L is around the weights, where it is L0; a number for each pair of directions.

    rise: the mean of L / L0 - 1 on the circle of `RADIUS`. It is that of Keskar et al., "On Large-Batch Training for
    Deep Learning", ICLR 2017, Eq. 4, (max L - L0) / (1 + L0), with two changes: without the 1, which would weigh a loss
    that is summed over pixels otherwise than one that is averaged; and with the mean in the place of the maximum, which
    a single ridge would decide. So it does not change when L is multiplied, and losses of different kinds can be
    compared. But where two models share a loss, the one that fits better has the smaller L0 and the larger rise.

    curvature: the larger eigenvalue of the Hessian of L in the plane, at the weights, by central differences, in units
    of L for a step of a whole filter's length. L0 does not enter, so models that share a loss are compared by it. Of an
    amplified loss it says little: that has a kink wherever the largest error of an image moves to another place.
    """

    rise: tuple[float, ...]
    curvature: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Each with the mean and the standard deviation over the pairs; null where there is no such number."""
        document = {}
        for name, values in vars(self).items():
            mean, deviation = map(_number, spread(values))
            document[name] = {"values": list(map(_number, values)), "mean": mean, "deviation": deviation}
        return document


@dataclass(frozen=True)
class Landscape:
    """Losses over the plane of the first pair of directions.

    axis: float64 [side], the steps along either direction, ascending, 0 in the middle. losses: float64 [side, side]; at
    [row, column] the weights have gone axis[column] along the first direction and axis[row] along the second.
    """

    axis: NDArray[np.float64]
    losses: NDArray[np.float64]
    sharpness: Sharpness

    @property
    def centre(self) -> float:
        """The loss of the model as it is."""
        middle = len(self.axis) // 2
        return float(self.losses[middle, middle])

    def to_json(self) -> dict[str, Any]:
        """null where a loss is not finite."""
        losses = [[_number(value) for value in row] for row in self.losses.tolist()]
        sharpness = {"radius": RADIUS, **self.sharpness.to_json()}
        return {"axis": self.axis.tolist(), "losses": losses, "centre": _number(self.centre), "sharpness": sharpness}


def landscape(
    model: DetectorModule,
    images: NDArray[np.uint8],
    *,
    loss: str = "base",
    side: int = 21,
    extent: float = 1.0,
    pairs: int = 3,
    seed: int = 0,
    progress: Progress = silent,
) -> Landscape:
    """Measure the loss of a model around its weights. The model is not changed, whatever happens.

    images: uint8 [N, H, W, 3] RGB of the model's size, good parts. loss: "own", what the model was trained with, or
    "base", its `validation_loss`. An amplified loss is divided by its own maximum at every place (LAMP, Eq. 2): it says
    how the errors are spread and not how large they are, and has another scale than the base loss. So "own" shows what
    training went down on, and "base" puts models that were trained with and without amplification on one scale.

    side: places along each direction, odd, from -extent to extent. pairs: of random directions, for the spread of the
    sharpness; the losses are those of the first pair. The same seed gives models of one architecture the same draws.

    Batch norm and dropout work as in use. With its statistics fixed, batch norm makes the loss a function of the
    weights alone; computed again at every place, they would take back how far a filter was scaled.

    Raises TrainingError for a loss, side, extent, number of pairs or images that cannot be.
    """
    _check(loss, side, extent, pairs, len(images))
    axis = np.linspace(-extent, extent, side)
    axis[side // 2] = 0.0
    grid = [(float(x), float(y)) for y in axis for x in axis]
    work = [(0, grid), *((pair, [*_CIRCLE, *_STENCIL]) for pair in range(pairs))]
    total, found, surface = sum(len(places) for _, places in work), [], _Losses(model, images, loss)
    for pair, places in work:
        at = surface.plane(directions(model, seed, pair))
        for place in places:
            found.append(at(*place))
            progress("measuring losses", len(found), total)
    losses, values = np.split(np.array(found), [len(grid)])
    centre = float(losses[len(grid) // 2])
    around = values.reshape(pairs, -1)
    rises = tuple(_rise(row[: len(_CIRCLE)], centre) for row in around)
    curvatures = tuple(_curvature(row[len(_CIRCLE) :], centre) for row in around)
    return Landscape(axis, losses.reshape(side, side), Sharpness(rises, curvatures))


def directions(model: nn.Module, seed: int, pair: int = 0) -> tuple[Direction, Direction]:
    """Two Gaussian directions over the trainable parameters, filter by filter as long as the model's own (Li et al.,
    Sec. 4).

    A filter is what belongs to one index of a parameter's first dimension: the weights of one output. Parameters of one
    dimension, biases and those of batch norm, are not moved.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + pair)
    trainable = [(name, value.detach()) for name, value in model.named_parameters() if value.requires_grad]
    first, second = ({name: _direction(value, generator) for name, value in trainable} for _ in range(2))
    return first, second


def _direction(weight: Tensor, generator: torch.Generator) -> Tensor:
    if weight.dim() < 2:
        return torch.zeros_like(weight)
    # Drawn on the CPU, so that every device gets the same.
    drawn = torch.randn(weight.shape, generator=generator).to(weight).flatten(1)
    lengths = torch.linalg.vector_norm(weight.flatten(1), dim=1, keepdim=True)
    scaled: Tensor = drawn * (lengths / torch.linalg.vector_norm(drawn, dim=1, keepdim=True))
    return scaled.view_as(weight)


class _Losses(nn.Module):
    """The loss of a model on fixed images as a function of its parameters."""

    def __init__(self, model: DetectorModule, images: NDArray[np.uint8], loss: str) -> None:
        super().__init__()
        self.model, self._loss = model, LOSSES[loss]
        home = next(model.parameters()).device
        with _as_in_use(model), torch.no_grad():
            pieces = [torch.from_numpy(images[begin : begin + _BATCH]) for begin in range(0, len(images), _BATCH)]
            self._batches = [(model.extract(piece.to(home)), *_labels(model, len(piece))) for piece in pieces]

    def forward(self) -> float:
        """The mean over all images."""
        method = getattr(self.model, self._loss)
        losses = [float(method(*batch)) * len(batch[0]) for batch in self._batches]
        return math.fsum(losses) / sum(len(batch[0]) for batch in self._batches)

    def plane(self, pair: tuple[Direction, Direction]) -> Callable[[float, float], float]:
        """The loss where the weights have gone x along the first direction and y along the second."""
        first, second = pair
        own = {name: value.detach() for name, value in self.model.named_parameters()}

        def at(x: float, y: float) -> float:
            moved = {f"model.{name}": own[name] + x * first[name] + y * second[name] for name in first}
            with _as_in_use(self.model), torch.no_grad():
                # The call is made with other tensors in the place of the model's own, which are never written to.
                return float(functional_call(self, moved, ()))

        return at


@contextmanager
def _as_in_use(model: nn.Module) -> Iterator[None]:
    """The model in eval mode for a while."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _labels(model: DetectorModule, count: int) -> tuple[Tensor, ...]:
    """Those of good parts, for a detector that learns from labels."""
    if not isinstance(model, DefectLearner):
        return ()
    home = next(model.parameters()).device
    return torch.zeros(count, device=home), torch.zeros(count, math.prod(model.grid), device=home)


def _rise(circle: NDArray[np.float64], centre: float) -> float:
    return float(circle.mean()) / centre - 1 if centre > 0 else math.nan


def _curvature(stencil: NDArray[np.float64], centre: float) -> float:
    """The larger eigenvalue of [[a, b], [b, c]], from the losses at `_STENCIL`."""
    around = stencil.reshape(3, 3)
    a = (around[1, 0] + around[1, 2] - 2 * centre) / _STEP**2
    c = (around[0, 1] + around[2, 1] - 2 * centre) / _STEP**2
    b = (around[2, 2] + around[0, 0] - around[2, 0] - around[0, 2]) / (4 * _STEP**2)
    return float((a + c) / 2 + math.hypot((a - c) / 2, b))


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the standard deviation as that of a sample; not a number where there is one value."""
    known = np.array(values)
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else math.nan


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _check(loss: str, side: int, extent: float, pairs: int, images: int) -> None:
    faults = {
        f"there is no loss {loss!r}; it is one of {', '.join(LOSSES)}": loss not in LOSSES,
        f"a side of {side} places has no middle; give an odd number from 3 on": side < 3 or side % 2 == 0,
        f"an extent of {extent} is not a positive number": not (math.isfinite(extent) and extent > 0),
        f"{pairs} pairs of directions are too few": pairs < 1,
        "there are no images to measure a loss on": images < 1,
    }
    for fault, present in faults.items():
        if present:
            raise TrainingError(fault, "landscape", "change the option")
