"""An engine beside a reference, as a rule the fp32 graph, on the same images: how well each tells bad parts, and how
far apart they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import GateRefused
from edgead.evaluation.aupro import aupro
from edgead.evaluation.difference import largest_difference, map_error, pyramid_errors, rank_correlation
from edgead.evaluation.ranking import auroc
from edgead.evaluation.thresholds import Thresholds
from edgead.export.verification.answers import Answers
from edgead.export.verification.held_out import HeldOut
from edgead.result import Verdict

NAMED = 20
"""Images whose verdict changed that are named at most."""
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Metrics:
    """How well a detector tells bad parts from good ones, 0..1; None where that cannot be told: without bad parts, or
    for pixels without masks."""

    image_auroc: float | None = None
    pixel_auroc: float | None = None
    aupro: float | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What one side says of the held-out images, the thresholds that it judges by, and how good that is."""

    answers: Answers
    thresholds: Thresholds
    metrics: Metrics

    @property
    def rejected(self) -> NDArray[np.bool_]:
        return np.asarray(self.answers.scores >= self.thresholds.image.value)

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """As a running detector gives them."""
        warned = self.answers.scores >= self.thresholds.warn.value
        return tuple(
            Verdict.REJECT if reject else Verdict.WARN if warn else Verdict.ACCEPT
            for reject, warn in zip(self.rejected, warned, strict=True)
        )

    @property
    def margins(self) -> NDArray[np.float64]:
        """By how much each score is above the reject threshold."""
        return self.answers.scores.astype(np.float64) - self.thresholds.image.value


@dataclass(frozen=True)
class Comparison:
    """An engine beside a reference.

    target: the runtime that was run; emulated: whether it stood in for another that cannot run here. good, bad: how
    many images were compared; painted: whether the defects of the bad ones were painted on good ones. metrics,
    reference: of the engine and of the reference. map_error: the root mean square of the maps' difference, as a share
    of the standard deviation of the reference's maps; pyramid: the same of means over 1, 2 x 2, 4 x 4, ... pixels.
    largest_map_error, score_error: the largest absolute difference, as a share of the reference's largest value. All
    of these are None, and the pyramid empty, between two detectors, which answer in units of their own.
    rank_correlation: Spearman's, of the good images' scores. changed_verdicts: images that one rejects and the other
    does not, each by its own threshold; changed: their names, the largest change first. budget: what the gate allowed,
    where one has judged. chosen_by: how many images have chosen the engine among others that were tried, 0 where there
    were none; chosen_apart: whether they are others than these.
    """

    target: str
    emulated: bool
    good: int
    bad: int
    painted: bool
    metrics: Metrics
    reference: Metrics
    map_error: float | None
    pyramid: tuple[float, ...]
    largest_map_error: float | None
    score_error: float | None
    rank_correlation: float
    changed_verdicts: int
    changed: tuple[str, ...]
    budget: dict[str, float] = field(default_factory=dict)
    chosen_by: int = 0
    chosen_apart: bool = False

    @property
    def images(self) -> int:
        return self.good + self.bad

    def falls(self) -> dict[str, float]:
        """By how much each metric falls that both have; negative where it rises."""
        before, after = asdict(self.reference), asdict(self.metrics)
        return {
            name: before[name] - after[name] for name in before if before[name] is not None and after[name] is not None
        }

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "images": self.images, "changed": list(self.changed), "pyramid": list(self.pyramid)}


def measure(held: HeldOut, answers: Answers, thresholds: Thresholds, engine: str = "the engine") -> Measured:
    """Raises GateRefused, naming the first image, where there are values that are not numbers: no metric is of any use
    then. engine: whose values they are, for that error."""
    numbers = np.isfinite(answers.scores) & np.isfinite(answers.maps).all(axis=(1, 2))
    if not numbers.all():
        what = f"refused: {engine} gives values that are not numbers"
        todo = "use another precision or another method of calibration"
        raise GateRefused(what, held.names[np.argmin(numbers)], todo)
    if not held.anomalous.any():
        return Measured(answers, thresholds, Metrics())
    image = auroc(held.anomalous, answers.scores)
    if not held.masks.any():
        return Measured(answers, thresholds, Metrics(image))
    masks, maps = held.masks[held.masked], answers.maps[held.masked]
    return Measured(answers, thresholds, Metrics(image, auroc(masks.ravel(), maps.ravel()), aupro(masks, maps)))


def compare(
    held: HeldOut, reference: Measured, engine: Measured, *, target: str, emulated: bool, alike: bool = True
) -> Comparison:
    """Compare what both say of the same images. alike: whether both are of one detector, and have its units."""
    ours, theirs = reference.answers, engine.answers
    good = held.good
    differs = reference.rejected != engine.rejected
    worst = [index for index in changed(reference, engine, alike=alike) if differs[index]]
    return Comparison(
        target=target,
        emulated=emulated,
        good=good.stop,
        bad=len(held.names) - good.stop,
        painted=held.painted,
        metrics=engine.metrics,
        reference=reference.metrics,
        map_error=map_error(ours.maps, theirs.maps) if alike else None,
        pyramid=pyramid_errors(ours.maps, theirs.maps) if alike else (),
        largest_map_error=largest_difference(ours.maps, theirs.maps) if alike else None,
        score_error=largest_difference(ours.scores, theirs.scores) if alike else None,
        rank_correlation=rank_correlation(ours.scores[good], theirs.scores[good]),
        changed_verdicts=len(worst),
        changed=tuple(held.names[index] for index in worst[:NAMED]),
    )


def changed(reference: Measured, engine: Measured, *, alike: bool = True) -> list[int]:
    """The images whose verdict is another, each side by its own thresholds: first those that one rejects and the other
    does not, then those that one accepts and the other has looked at; of each, the largest change first.

    A change is the difference of the margins, where the two are not alike as multiples of the scores' standard
    deviation.
    """
    margins = [side.margins / (1.0 if alike else max(float(side.margins.std()), _TINY)) for side in (reference, engine)]
    change = np.abs(margins[1] - margins[0])
    crosses = reference.rejected != engine.rejected
    order = np.lexsort((-change, ~crosses))
    verdicts = reference.verdicts, engine.verdicts
    return [int(index) for index in order if verdicts[0][index] is not verdicts[1][index]]
