"""What becomes of a model while it trains: measured on test images every few epochs, and kept in a file."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.atomic import write_atomic
from edgead.data.images import read_mask
from edgead.data.samples import Sample
from edgead.errors import TrainingError
from edgead.evaluation.ranking import auroc
from edgead.experiments.cells.predicting import BATCH, answer_of
from edgead.training.features import Inputs, collect
from edgead.training.models import DetectorModule
from edgead.training.options import FitOptions
from edgead.training.pictures import Photographs

AUROCS = ("image_auroc", "pixel_auroc")


@dataclass(frozen=True)
class Point:
    """After `epoch` epochs, counted from 1. loss: of the training images in that epoch. The AUROCs are means over the
    categories, 0..1, NaN where there is nothing to measure."""

    epoch: int
    loss: float
    image_auroc: float
    pixel_auroc: float

    def to_json(self) -> dict[str, float | int | None]:
        return {name: None if math.isnan(value) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Point:
        known: dict[str, Any] = {name: math.nan if value is None else value for name, value in document.items()}
        return cls(**known)


class Watch:
    """Measures a model after its first epoch, every `every` epochs, and after its last; called by `fit`.

    The points are in a file from the moment they are known, so that a training that goes on later loses none. Raises
    TrainingError where the file is of other test images, which would no longer be the same curve.
    """

    def __init__(self, path: Path, samples: Sequence[Sample], options: FitOptions, every: int) -> None:
        self._path, self._options, self._every = path, options, every
        self._samples = {
            category: [sample for sample in samples if sample.category == category]
            for category in sorted({sample.category for sample in samples})
        }
        self._images = hashlib.sha256(
            "\n".join(sample.name for sample in samples).encode("utf-8", "replace")
        ).hexdigest()
        self._parts: list[_Part] | None = None
        self._points = self._read()

    def __call__(self, epoch: int, model: DetectorModule) -> None:
        done = epoch + 1
        if not self._due(done):
            return
        if self._parts is None:
            self._parts = [_Part.of(model, samples, self._options) for samples in self._samples.values()]
        found = zip(*(part.aurocs(model, self._options) for part in self._parts), strict=True)
        means = {
            name: None if math.isnan(mean := _mean(values)) else mean
            for name, values in zip(AUROCS, found, strict=True)
        }
        self._points = [point for point in self._points if point["epoch"] < done] + [{"epoch": done, **means}]
        document = {"every": self._every, "images": self._images, "points": self._points}
        write_atomic(self._path, json.dumps(document, indent=1) + "\n")

    def points(self, history: Path) -> list[Point]:
        """Everything measured so far, with the losses of the run's `history.jsonl`. Raises TrainingError where the run
        has epochs that should have been measured, and are not in the file."""
        lines = map(json.loads, history.read_text().splitlines())
        losses = {line["epoch"] + 1: line["train_loss"] for line in lines}
        known = {
            point["epoch"]: [math.nan if point[name] is None else point[name] for name in AUROCS]
            for point in self._points
        }
        if any(self._due(epoch) and epoch not in known for epoch in losses):
            raise TrainingError("the run was not measured while it trained", self._path, "give another folder")
        return [Point(epoch, losses[epoch], *values) for epoch, values in known.items() if epoch in losses]

    def _due(self, epoch: int) -> bool:
        return epoch in (1, self._options.epochs) or epoch % self._every == 0

    def _read(self) -> list[dict[str, Any]]:
        try:
            document = json.loads(self._path.read_text())
            same = (document["every"], document["images"]) == (self._every, self._images)
            points: list[dict[str, Any]] = document["points"]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"the curve is damaged ({error})", self._path, "give another folder") from error
        if not same:
            what = "the curve was measured at other epochs or on other test images"
            raise TrainingError(what, self._path, "give the same ones, or another folder")
        return points


@dataclass(frozen=True)
class _Part:
    """The test images of one category, ready for every epoch. masks: of the good images and the bad ones that have one,
    or None where no defect is painted; measured: which images those are."""

    inputs: Inputs
    labels: NDArray[np.bool_]
    masks: NDArray[np.bool_] | None
    measured: NDArray[np.bool_]

    @classmethod
    def of(cls, model: DetectorModule, samples: Sequence[Sample], options: FitOptions) -> _Part:
        size = (model.options.height, model.options.width)
        # A copy, since collecting moves its model between devices, and this one is in training.
        pictures, device = Photographs(samples, *size), options.device
        inputs = collect(copy.deepcopy(model), pictures, options.features, device=device)
        labels = np.array([sample.anomalous for sample in samples], np.bool_)
        measured = np.array([not sample.anomalous or sample.mask is not None for sample in samples], np.bool_)
        painted = [sample.mask for sample in samples if sample.mask is not None or not sample.anomalous]
        masks = None
        if any(painted):
            masks = np.stack([read_mask(mask, *size) if mask else np.zeros(size, np.bool_) for mask in painted])
        return cls(inputs, labels, masks, measured)

    def aurocs(self, model: DetectorModule, options: FitOptions) -> tuple[float, float]:
        """Of images and of pixels."""
        home, scores, maps = next(model.parameters()).device, [], []
        for begin in range(0, len(self.inputs), BATCH):
            batch = range(begin, min(begin + BATCH, len(self.inputs)))
            answer = answer_of(model, self.inputs.gather(batch).to(home), options)
            scores.append(answer.score.float().cpu().numpy())
            if self.masks is not None:
                maps.append(answer.anomaly_map.float().cpu().numpy()[self.measured[batch.start : batch.stop]])
        image = auroc(self.labels, np.concatenate(scores))
        return image, math.nan if self.masks is None else auroc(self.masks, np.concatenate(maps))


def mean_of(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Several curves as one: the mean at every epoch that all have."""
    epochs = sorted(set.intersection(*({point.epoch for point in curve} for curve in curves)))
    found = []
    for epoch in epochs:
        points = [point for curve in curves for point in curve if point.epoch == epoch]
        means = (_mean([getattr(point, name) for point in points]) for name in ("loss", *AUROCS))
        found.append(Point(epoch, *means))
    return found


def _mean(values: Iterable[float]) -> float:
    """The mean of those that are numbers."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
