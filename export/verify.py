"""An engine held against the fp32 graph on images that neither has seen: the proof that it stayed right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.data.images import read_mask
from edgead.data.layout import Sample
from edgead.errors import GateRefused
from edgead.evaluation.ranking import auroc
from edgead.evaluation.thresholds import Thresholds
from edgead.progress import Progress, silent

Predict = Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Answers:
    """What a graph says of N images. scores: float32 [N]. maps: float32 [N, H, W]. Raw units."""

    scores: NDArray[np.float32]
    maps: NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """An engine beside the fp32 graph.

    target: the runtime that was run; emulated: whether it stood in for another that cannot run here. images: how many
    were compared. map_error, score_error: largest absolute difference as a share of the largest fp32 value.
    rank_correlation: Spearman's, of the scores. changed_verdicts: images judged otherwise, each side by its own
    threshold; changed: their names, the largest change first. image_auroc, pixel_auroc and their fp32 values: None
    without labels or masks.
    """

    target: str
    emulated: bool
    images: int
    map_error: float
    score_error: float
    rank_correlation: float
    changed_verdicts: int
    changed: tuple[str, ...]
    image_auroc: float | None = None
    image_auroc_fp32: float | None = None
    pixel_auroc: float | None = None
    pixel_auroc_fp32: float | None = None
    max_drop: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "changed": list(self.changed)}

    def faults(self, max_drop: float) -> list[str]:
        """Why a gate with this budget refuses; empty where it does not."""
        found = []
        pairs = (("image", self.image_auroc, self.image_auroc_fp32), ("pixel", self.pixel_auroc, self.pixel_auroc_fp32))
        for level, engine, reference in pairs:
            if engine is not None and reference is not None and not reference - engine <= max_drop:
                found.append(f"{level} AUROC falls from {reference:.4f} to {engine:.4f}")
        allowed = max(1, round(max_drop * self.images))  # a single image on the edge of a threshold is no evidence
        if self.image_auroc is None and self.changed_verdicts > allowed:
            found.append(
                f"{self.changed_verdicts} of {self.images} verdicts on unlabelled images change, {allowed} are allowed"
            )
        return found


def run_all(
    predict: Predict, images: NDArray[np.uint8], batch: int, progress: Progress = silent, what: str = "running"
) -> Answers:
    """Run a graph over uint8 [N, H, W, 3] in batches of at most `batch`."""
    scores, maps = [], []
    for begin in range(0, len(images), batch):
        outputs = predict(images[begin : begin + batch])
        scores.append(outputs["score"].copy())
        maps.append(outputs["anomaly_map"].copy())
        progress(what, min(begin + batch, len(images)), len(images))
    return Answers(np.concatenate(scores), np.concatenate(maps))


def compare(
    samples: Sequence[Sample],
    reference: Answers,
    engine: Answers,
    reference_thresholds: Thresholds,
    engine_thresholds: Thresholds,
    *,
    target: str,
    emulated: bool,
) -> Comparison:
    """Compare the answers of both to the same images, in the order of `samples`.

    Raises GateRefused where the engine gives values that are not numbers.
    """
    if not (np.isfinite(engine.scores).all() and np.isfinite(engine.maps).all()):
        raise GateRefused(
            "refused: the engine gives values that are not numbers", target, "use another precision or method"
        )
    rejected = reference.scores >= reference_thresholds.image.value, engine.scores >= engine_thresholds.image.value
    differs = np.flatnonzero(rejected[0] != rejected[1])
    worst = differs[np.argsort(-np.abs(engine.scores - reference.scores)[differs], kind="stable")]
    comparison = Comparison(
        target=target,
        emulated=emulated,
        images=len(samples),
        map_error=_difference(reference.maps, engine.maps),
        score_error=_difference(reference.scores, engine.scores),
        rank_correlation=_rank_correlation(reference.scores, engine.scores),
        changed_verdicts=len(differs),
        changed=tuple(samples[index].name for index in worst[:20]),
    )
    labels = np.array([sample.anomalous for sample in samples])
    if labels.any() and not labels.all():
        comparison = replace(
            comparison, image_auroc=auroc(labels, engine.scores), image_auroc_fp32=auroc(labels, reference.scores)
        )
    masked = [index for index, sample in enumerate(samples) if sample.mask or not sample.anomalous]
    if any(samples[index].mask for index in masked):
        height, width = reference.maps.shape[1:]
        masks = np.zeros((len(masked), height, width), bool)
        for row, index in enumerate(masked):
            mask = samples[index].mask
            if mask:
                masks[row] = read_mask(mask, height, width)
        comparison = replace(
            comparison,
            pixel_auroc=auroc(masks.ravel(), engine.maps[masked].ravel()),
            pixel_auroc_fp32=auroc(masks.ravel(), reference.maps[masked].ravel()),
        )
    return comparison


def check_gate(comparison: Comparison, max_drop: float, what: str) -> Comparison:
    """Return the comparison with its budget noted. Raises GateRefused, naming the worst images, where it is
    exceeded."""
    faults = comparison.faults(max_drop)
    if faults:
        worst = f"; verdicts that change first: {', '.join(comparison.changed[:5])}" if comparison.changed else ""
        todo = "calibrate with more or other images or another method, use fp16, or raise --max-drop"
        raise GateRefused(f"refused: {'; '.join(faults)} (budget {max_drop}){worst}", what, todo)
    return replace(comparison, max_drop=max_drop)


def _rank_correlation(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's, -1..1: that of the ranks, equal values sharing the mean of theirs. 1 where the reference is constant
    and there is no order to lose, 0 where the other alone is."""
    centred = []
    for values in (reference, other):
        _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
        centred.append(ranks - ranks.mean())
    ours, theirs = centred
    if not ours.any():
        return 1.0
    return float(ours @ theirs / np.sqrt((ours @ ours) * (theirs @ theirs))) if theirs.any() else 0.0


def _difference(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    scale = max(float(np.abs(reference).max()), float(np.finfo(np.float32).tiny))
    return float(np.abs(reference - other).max()) / scale
