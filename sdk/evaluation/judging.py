"""What thresholds make of scores: verdicts, counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.data.layout import GOOD, Sample
from edgead.evaluation.ranking import auroc
from edgead.evaluation.thresholds import Thresholds
from edgead.result import Verdict


@dataclass(frozen=True)
class Group:
    """The verdicts on the images of one kind. with_regions: how many show a region, their map reaching the pixel
    threshold."""

    images: int
    accepted: int
    warned: int
    rejected: int
    with_regions: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class DefectRow:
    """The verdicts on one defect of one category, or on its good parts (`defect` is "good", and `image_auroc` NaN).

    image_auroc: how well the defect's scores rank above those of the category's good parts.
    """

    category: str
    defect: str
    image_auroc: float
    verdicts: Group

    def to_json(self) -> dict[str, Any]:
        known = None if math.isnan(self.image_auroc) else self.image_auroc
        return {"category": self.category, "defect": self.defect, "image_auroc": known, **self.verdicts.to_json()}


@dataclass(frozen=True)
class Judgement:
    """Labelled images under thresholds. verdicts: one for each image, in their order. good, bad: all of them,
    counted. defects: the same by category and defect, good parts first."""

    thresholds: Thresholds
    verdicts: tuple[Verdict, ...]
    good: Group
    bad: Group
    defects: tuple[DefectRow, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "thresholds": self.thresholds.to_json(),
            "good": self.good.to_json(),
            "bad": self.bad.to_json(),
            "defects": [row.to_json() for row in self.defects],
        }


def judge(
    samples: Sequence[Sample], scores: NDArray[np.float32], peaks: NDArray[np.float32], thresholds: Thresholds
) -> Judgement:
    """Judge images as a running detector would. scores, peaks: float32 [N], the score and the map's highest value of
    each."""
    scores, peaks = scores.astype(np.float64), peaks.astype(np.float64)
    rejected = scores >= thresholds.image.value
    warned = (scores >= thresholds.warn.value) & ~rejected
    regions = peaks >= thresholds.pixel.value
    bad = np.array([sample.anomalous for sample in samples], np.bool_)

    def count(chosen: NDArray[np.bool_]) -> Group:
        parts = (chosen, chosen & ~rejected & ~warned, chosen & warned, chosen & rejected, chosen & regions)
        return Group(*(int(np.count_nonzero(part)) for part in parts))

    rows = []
    kinds = {(sample.category, sample.anomalous, sample.defect) for sample in samples}
    for category, _, defect in sorted(kinds):
        chosen = np.array([(s.category, s.defect) == (category, defect) for s in samples], np.bool_)
        good = np.array([(s.category, s.defect) == (category, GOOD) for s in samples], np.bool_)
        against = chosen | good
        rows.append(DefectRow(category, defect, auroc(bad[against], scores[against]), count(chosen)))
    verdicts = (
        Verdict.REJECT if reject else Verdict.WARN if warn else Verdict.ACCEPT
        for reject, warn in zip(rejected, warned, strict=True)
    )
    return Judgement(thresholds, tuple(verdicts), count(~bad), count(bad), tuple(rows))
