"""A detector measured on labelled images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.data.images import read_mask
from edgead.data.layout import Sample
from edgead.data.loading import load_images
from edgead.errors import DataError, EngineError
from edgead.evaluation.aupro import aupro
from edgead.evaluation.judging import Judgement, judge
from edgead.evaluation.ranking import auroc, average_precision, f1_max
from edgead.evaluation.thresholds import Thresholds
from edgead.progress import Progress, silent

Predict = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]]
"""uint8 [N, H, W, 3] in RGB -> `score` float32 [N] and `anomaly_map` float32 [N, H, W]: an engine's `infer`."""


@dataclass(frozen=True)
class Metrics:
    """How well one category is told apart, each value 0..1 or NaN where there is nothing to measure.

    good, bad: images. masked: bad images with a mask; pixel values are measured on these and the good ones, the other
    bad images are left out of them.
    """

    good: int
    bad: int
    masked: int
    image_auroc: float
    image_ap: float
    image_f1_max: float
    pixel_auroc: float
    pixel_ap: float
    pixel_f1_max: float
    pixel_aupro: float

    def to_json(self) -> dict[str, Any]:
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured. samples: the images. scores: float32 [N], in raw units. peaks: float32 [N], the highest
    value of each map. height, width: the resolution of the maps, at which pixels are measured. categories: each one's
    metrics."""

    samples: tuple[Sample, ...]
    scores: NDArray[np.float32]
    peaks: NDArray[np.float32]
    height: int
    width: int
    categories: dict[str, Metrics]

    @property
    def labels(self) -> NDArray[np.bool_]:
        """bool [N], True where the part is bad."""
        return np.array([sample.anomalous for sample in self.samples], np.bool_)

    @property
    def mean(self) -> Metrics:
        """The mean over the categories, of each value over those that have it; counts are summed."""
        values: dict[str, Any] = {}
        for field in fields(Metrics):
            known = [v for v in (getattr(m, field.name) for m in self.categories.values()) if not math.isnan(v)]
            total = math.fsum(known)
            values[field.name] = int(total) if field.type == "int" else total / len(known) if known else math.nan
        return Metrics(**values)

    def judge(self, thresholds: Thresholds) -> Judgement:
        """The verdicts that a detector with these thresholds gives."""
        return judge(self.samples, self.scores, self.peaks, thresholds)

    def to_json(self) -> dict[str, Any]:
        """Everything but the paths; the same evaluation gives the same document. What could not be measured is
        null."""
        return {
            "resolution": [self.height, self.width],
            "mean": self.mean.to_json(),
            "categories": {name: metrics.to_json() for name, metrics in sorted(self.categories.items())},
            "images": [
                {
                    "name": sample.name,
                    "category": sample.category,
                    "defect": sample.defect,
                    "score": float(score),
                    "peak": float(peak),
                }
                for sample, score, peak in zip(self.samples, self.scores, self.peaks, strict=True)
            ],
        }


def evaluate(
    predict: Predict,
    samples: Sequence[Sample],
    height: int,
    width: int,
    *,
    batch_size: int = 8,
    progress: Progress = silent,
) -> Evaluation:
    """Run a detector graph over labelled images and measure how well it tells good from bad.

    Images are read and resized to height x width as everywhere, and masks to the nearest pixel. The maps of one
    category are in memory at a time: 250 kB for each image of 256 x 256.

    Raises DataError for no images or an unreadable one, EngineError where the graph's answer has another shape or is
    not finite.
    """
    if not samples:
        raise DataError("there are no images to evaluate on", "evaluation", "give a data folder with test images")
    scores, peaks = np.empty(len(samples), np.float32), np.empty(len(samples), np.float32)
    metrics = {}
    done = 0
    for category in sorted({sample.category for sample in samples}):
        members = np.array([index for index, sample in enumerate(samples) if sample.category == category])
        has_masks = any(samples[index].mask for index in members)
        measured = (
            [index for index in members if samples[index].mask or not samples[index].anomalous] if has_masks else []
        )
        rows = {index: row for row, index in enumerate(measured)}
        maps = np.empty((len(measured), height, width), np.float32)
        for begin in range(0, len(members), batch_size):
            batch = members[begin : begin + batch_size]
            images = load_images([samples[index] for index in batch], height, width)
            scores[batch], answer = _run(predict, images)
            peaks[batch] = answer.max(axis=(1, 2))
            for index, anomaly_map in zip(batch, answer, strict=True):
                if index in rows:
                    maps[rows[index]] = anomaly_map
            done += len(batch)
            progress("evaluating", done, len(samples))
        metrics[category] = _measure([samples[index] for index in members], scores[members], maps)
    return Evaluation(tuple(samples), scores, peaks, height, width, metrics)


def _run(predict: Predict, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores [N] and maps [N, H, W], checked."""
    outputs = predict(images)
    for name, shape in (("score", images.shape[:1]), ("anomaly_map", images.shape[:3])):
        if name not in outputs or outputs[name].shape != shape:
            found = outputs[name].shape if name in outputs else "nothing"
            raise EngineError(f"the graph gave {found} for {name}, not {shape}", "evaluation", "export the model again")
        if not np.isfinite(outputs[name]).all():
            raise EngineError(f"the graph gave a {name} that is not finite", "evaluation", "train or export it again")
    return outputs["score"], outputs["anomaly_map"]


def _measure(samples: Sequence[Sample], scores: NDArray[np.float32], maps: NDArray[np.float32]) -> Metrics:
    """The metrics of one category. maps: those of its good images and of its bad ones with a mask, in order, or
    none."""
    labels = np.array([sample.anomalous for sample in samples], np.bool_)
    masks = np.zeros(maps.shape, np.bool_)
    measured = [sample.mask for sample in samples if sample.mask or not sample.anomalous] if len(maps) else []
    for row, path in enumerate(measured):
        if path:
            masks[row] = read_mask(path, *maps.shape[1:])
    bad = int(np.count_nonzero(labels))
    return Metrics(
        good=len(samples) - bad,
        bad=bad,
        masked=sum(path is not None for path in measured),
        image_auroc=auroc(labels, scores),
        image_ap=average_precision(labels, scores),
        image_f1_max=f1_max(labels, scores)[0],
        pixel_auroc=auroc(masks, maps),
        pixel_ap=average_precision(masks, maps),
        pixel_f1_max=f1_max(masks, maps)[0],
        pixel_aupro=aupro(masks, maps),
    )
