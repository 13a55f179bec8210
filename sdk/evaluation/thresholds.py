"""Where good ends: thresholds from the scores of good parts, or from labelled parts where somebody has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgead.errors import BundleError, DataError
from edgead.evaluation.ranking import f1_max
from edgead.evaluation.tail import BULK, fit_tail

FALSE_REJECT_RATE = 0.002
WARN_RATE = 0.02
REGION_RATE = 0.01
METHODS = ("tail", "quantile", "f1", "probability")
EVEN = 0.5
"""A probability from which on bad is likelier than good."""
MARGIN = 0.1


@dataclass(frozen=True)
class Threshold:
    """A value from which on a score counts (`score >= value`), and how it was found.

    value: in raw units of the score, finite, and a float32, so that comparisons in 32 and 64 bits agree. method:
    `tail`, `quantile`, `quantile+margin`, `f1` or `probability`. detail: what the method was told and what it found.
    """

    value: float
    method: str
    detail: dict[str, float | int | str]

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise DataError(
                f"the threshold is {self.value}", f"threshold by {self.method}", "fit it again on finite scores"
            )

    def describe(self) -> str:
        """How the value was found, in words."""
        detail = self.detail
        if self.method == "tail":
            return (
                f"extrapolated to {_percent(detail['rate'])} of good parts by a generalised Pareto tail, fitted to the "
                f"{detail['exceedances']} highest of {detail['scores']} good images"
            )
        if self.method == "probability":
            return "the score is a probability: from here on the part is bad rather than good"
        if self.method == "f1":
            images, bad = detail["scores"], detail["anomalous"]
            return f"highest F1 ({float(detail['f1']):.3f}) on {images} labelled images, {bad} of them bad"
        words = f"the {_percent(detail['quantile'])} quantile of {detail['scores']} good images"
        if self.method == "quantile+margin":
            words = (
                f"the highest of {detail['scores']} good images, and a margin of {_percent(detail['margin'])} of its "
                f"distance from their median, as they are too few for their {_percent(detail['quantile'])} quantile"
            )
        return f"{words} (no tail fitted: {detail['no_tail']})" if "no_tail" in detail else words

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any, where: str = "threshold") -> Threshold:
        """Read what `to_json` gave. Raises BundleError, naming `where`, for anything else."""
        todo = "export the bundle again"
        if not isinstance(document, Mapping) or set(document) != {"value", "method", "detail"}:
            raise BundleError("a threshold is not value, method and detail", where, todo)
        value, method, detail = document["value"], document["method"], document["detail"]
        if not _is_number(value):
            raise BundleError(f"a threshold is {value!r}, not a finite number", where, todo)
        if not isinstance(method, str) or not isinstance(detail, Mapping):
            raise BundleError("a threshold does not say how it was found", where, todo)
        if not all(isinstance(key, str) and (isinstance(v, str) or _is_number(v)) for key, v in detail.items()):
            raise BundleError("the detail of a threshold is not numbers and words", where, todo)
        return cls(float(value), method, dict(detail))


@dataclass(frozen=True)
class Thresholds:
    """What a detector judges by. image: reject from this score on. warn: have a look from this score on; never above
    `image`. pixel: the map's values that make a region."""

    image: Threshold
    warn: Threshold
    pixel: Threshold

    def __post_init__(self) -> None:
        if self.warn.value > self.image.value:
            what = f"the warn threshold {self.warn.value} is above the reject threshold {self.image.value}"
            raise DataError(what, "thresholds", "fit them again")

    def to_json(self) -> dict[str, Any]:
        return {"image": self.image.to_json(), "warn": self.warn.to_json(), "pixel": self.pixel.to_json()}

    @classmethod
    def from_json(cls, document: Any) -> Thresholds:
        """Read what `to_json` gave. Raises BundleError, naming the place, for anything else."""
        names = ("image", "warn", "pixel")
        if not isinstance(document, Mapping) or set(document) != set(names):
            raise BundleError("the thresholds are not image, warn and pixel", "thresholds", "export the bundle again")
        parts = {name: Threshold.from_json(document[name], f"thresholds/{name}") for name in names}
        if parts["warn"].value > parts["image"].value:
            raise BundleError(
                "the warn threshold is above the reject threshold", "thresholds", "export the bundle again"
            )
        return cls(**parts)


def fit_thresholds(
    normal_scores: ArrayLike,
    normal_maxima: ArrayLike,
    *,
    method: str = "tail",
    anomalous_scores: ArrayLike | None = None,
    false_reject_rate: float = FALSE_REJECT_RATE,
    warn_rate: float = WARN_RATE,
    region_rate: float = REGION_RATE,
) -> Thresholds:
    """Fit all thresholds on good parts that training has not seen.

    normal_scores: float32 [N], their scores. normal_maxima: float32 [N], the highest value of each one's map. Of good
    parts, a share of `false_reject_rate` should be rejected, `warn_rate` be looked at or rejected, and `region_rate`
    show a region. method: `tail` extrapolates (see `from_tail`), `quantile` does not (see `from_quantile`); `f1`
    takes the reject threshold from `anomalous_scores` (see `from_f1_max`) and the others as `tail` does; `probability`
    is for scores of a classifier, rejects from 0.5 on, and does the rest as `tail` does.

    Raises DataError for no scores, scores that are not finite, an unknown method, or `f1` without anomalous scores.
    """
    if method not in METHODS:
        raise DataError(f"no threshold method {method!r}", "thresholds", f"choose one of {', '.join(METHODS)}")

    def fit(scores: ArrayLike, rate: float) -> Threshold:
        return from_quantile(scores, 1 - rate) if method == "quantile" else from_tail(scores, rate)

    warn, pixel = fit(normal_scores, warn_rate), fit(normal_maxima, region_rate)
    if method == "f1":
        if anomalous_scores is None or not np.size(anomalous_scores):
            raise DataError(
                "the highest F1 needs scores of bad parts", "thresholds", "give labelled images, or use tail"
            )
        parts = np.ravel(normal_scores), np.ravel(anomalous_scores)
        image = from_f1_max(np.repeat([False, True], [part.size for part in parts]), np.concatenate(parts))
    elif method == "probability":
        image = Threshold(EVEN, method, {"scores": int(np.size(normal_scores))})
    else:
        image = fit(normal_scores, false_reject_rate)
    if warn.value > image.value:  # good and bad overlap, or the scores are too few to tell the rates apart
        warn = Threshold(image.value, image.method, image.detail)
    return Thresholds(image, warn, pixel)


def from_quantile(scores: ArrayLike, q: float) -> Threshold:
    """The q-quantile of normal scores, interpolated.

    Where the scores are too few to have it (less than one of them would lie above), the highest and a margin of 10 %
    of its distance from the median.
    """
    values = _checked(scores)
    if not 0 <= q <= 1:
        raise DataError(f"there is no {q} quantile", "threshold", "give one in 0..1")
    detail: dict[str, float | int | str] = {"quantile": q, "scores": values.size}
    if (1 - q) * values.size >= 1:
        return Threshold(_up(float(np.quantile(values, q))), "quantile", detail)
    highest = float(values.max())
    margin = MARGIN * (highest - float(np.median(values)))
    # Equal scores have no spread to take a margin from.
    least = max(abs(highest) * 1e-3, float(np.finfo(np.float32).tiny))
    return Threshold(_up(highest + max(margin, least)), "quantile+margin", {**detail, "margin": MARGIN})


def from_tail(scores: ArrayLike, false_reject_rate: float = FALSE_REJECT_RATE) -> Threshold:
    """The score that a share `false_reject_rate` of good parts reaches, by a tail fitted to the scores above their 80
    % quantile.

    Where no tail can be fitted, the quantile instead; `method` and `detail` say so. A rate that is no matter of the
    tail (20 % or more) is answered by the quantile as well.
    """
    values = _checked(scores)
    if not 0 < false_reject_rate < 1:
        raise DataError(f"a share of {false_reject_rate} cannot be rejected", "threshold", "give one between 0 and 1")
    tail = fit_tail(values)
    if tail is None or false_reject_rate >= tail.share:
        plain = from_quantile(values, 1 - false_reject_rate)
        reason = "too few scores, or all alike" if tail is None else f"the rate is above {1 - BULK:.0%}"
        return Threshold(plain.value, plain.method, {**plain.detail, "no_tail": reason})
    detail: dict[str, float | int | str] = {
        "rate": false_reject_rate,
        "scores": values.size,
        "exceedances": tail.exceedances,
        "location": tail.location,
        "scale": tail.scale,
        "shape": tail.shape,
    }
    return Threshold(_up(tail.quantile(false_reject_rate)), "tail", detail)


def from_f1_max(labels: ArrayLike, scores: ArrayLike) -> Threshold:
    """The threshold of the highest F1 on labelled scores, half way down to the next lower score.

    Raises DataError where only one label is present.
    """
    truth, values = np.ravel(np.asarray(labels, np.bool_)), _checked(scores)
    best, lowest = f1_max(truth, values)
    if not math.isfinite(best):
        raise DataError("the highest F1 needs good and bad parts", "threshold", "give labelled images of both")
    below = values[values < lowest]
    value = (lowest + float(below.max())) / 2 if below.size else lowest
    return Threshold(_up(value), "f1", {"f1": best, "scores": values.size, "anomalous": int(truth.sum())})


def _checked(scores: ArrayLike) -> NDArray[np.float64]:
    """The scores as float64 [N] with float32's values."""
    with np.errstate(over="ignore"):
        values = np.ravel(np.asarray(scores, np.float32)).astype(np.float64)
    if not values.size:
        raise DataError("there are no scores to fit a threshold on", "threshold", "give images of good parts")
    if not np.isfinite(values).all():
        raise DataError("a score is not a finite number", "threshold", "check the model that gave it")
    return values


def _up(value: float) -> float:
    """The next float32 that is not below, so that no good score is pushed over the threshold by rounding."""
    value = min(value, float(np.finfo(np.float32).max))
    rounded = np.float32(value)
    return float(rounded if rounded >= value else np.nextafter(rounded, np.float32(np.inf)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _percent(share: float | str) -> str:
    return f"{float(share) * 100:.4g} %"
