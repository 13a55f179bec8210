"""The report's drawings, as SVG that takes its colours from the page."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgead.evaluation.markup import Markup, element, join
from edgead.evaluation.ranking import roc_curve
from edgead.evaluation.thresholds import Thresholds

_BINS = 48


def histogram(labels: NDArray[np.bool_], scores: NDArray[np.float32], thresholds: Thresholds) -> Markup:
    """Scores of good parts above the axis and of bad ones below, each as a share of its kind, with the thresholds."""
    wide, high, left, right, top, bottom = 640, 340, 14, 14, 44, 34
    low, end = _range(scores, thresholds)
    edges = np.linspace(low, end, _BINS + 1)
    clipped = np.clip(scores.astype(np.float64), low, end)
    shares = [
        np.histogram(clipped[labels == bad], edges)[0] / max(1, np.count_nonzero(labels == bad)) for bad in (0, 1)
    ]
    middle, room = (top + high - bottom) / 2, (high - top - bottom) / 2 - 4
    tallest = max(float(share.max()) for share in shares) or 1.0
    step = (wide - left - right) / _BINS

    def x_of(score: float) -> float:
        return left + (score - low) / (end - low) * (wide - left - right)

    parts = []
    for share, kind, direction in zip(shares, ("good", "bad"), (-1, 1), strict=True):
        for index in np.flatnonzero(share):
            height = max(1.5, float(share[index]) / tallest * room)
            y = middle - height if direction < 0 else middle
            parts.append(
                element(
                    "rect",
                    class_=kind,
                    x=coordinate(left + index * step + 0.6),
                    y=coordinate(y),
                    width=coordinate(step - 1.2),
                    height=coordinate(height),
                )
            )
    parts.append(element("line", class_="axis", x1=left, x2=wide - right, y1=coordinate(middle), y2=coordinate(middle)))
    for row, (name, threshold) in enumerate((("reject", thresholds.image), ("warn", thresholds.warn))):
        x, y = x_of(threshold.value), 14 + 17 * row
        # Warn is left of reject, so their labels go to the outer sides where there is room.
        before = x > wide * 0.75 if name == "reject" else x > wide * 0.2
        anchor, shift = ("end", -6) if before else ("start", 6)
        words = f"{name} from {threshold.value:.4g}"
        parts.append(
            element("line", class_=f"mark {name}", x1=coordinate(x), x2=coordinate(x), y1=y - 9, y2=high - bottom)
        )
        parts.append(element("text", words, class_=f"label {name}", x=coordinate(x + shift), y=y, text_anchor=anchor))
    for tick in ticks(low, end):
        parts.append(
            element("text", f"{tick:.6g}", class_="tick", x=coordinate(x_of(tick)), y=high - 14, text_anchor="middle")
        )
        parts.append(
            element(
                "line", class_="axis", x1=coordinate(x_of(tick)), x2=coordinate(x_of(tick)), y1=high - 30, y2=high - 26
            )
        )
    title = element("title", "Scores of good parts (above) and bad parts (below) with the thresholds")
    return element("svg", title, join(parts), viewBox=f"0 0 {wide} {high}", role="img")


def clipped_above(scores: NDArray[np.float32], thresholds: Thresholds) -> float | None:
    """The score beyond which the histogram gathers all in its last bar, or None where it shows each at its place."""
    end = _range(scores, thresholds)[1]
    return end if end < float(scores.max()) else None


def roc(labels: NDArray[np.bool_], scores: NDArray[np.float32], thresholds: Thresholds) -> Markup:
    """The ROC curve, with the point at which the reject threshold works. Needs good and bad parts."""
    side, left, bottom, top, right = 340, 60, 40, 12, 12
    span = side - left - right
    fpr, tpr, _ = roc_curve(labels, scores)
    x, y = left + fpr * span, top + (1 - tpr) * (side - bottom - top)
    turns = np.ones(x.size, np.bool_)
    turns[1:-1] = (np.diff(x)[:-1] * np.diff(y)[1:]) != (np.diff(x)[1:] * np.diff(y)[:-1])
    points = " ".join(f"{coordinate(a)},{coordinate(b)}" for a, b in zip(x[turns], y[turns], strict=True))
    floor = side - bottom
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        gx, gy = left + share * span, top + (1 - share) * (floor - top)
        parts.append(element("line", class_="grid", x1=coordinate(gx), x2=coordinate(gx), y1=top, y2=floor))
        parts.append(element("line", class_="grid", x1=left, x2=side - right, y1=coordinate(gy), y2=coordinate(gy)))
        parts.append(
            element("text", f"{share * 100:.0f} %", class_="tick", x=left - 6, y=coordinate(gy + 4), text_anchor="end")
        )
        if share in (0, 0.5, 1):
            anchor = "end" if share == 1 else "middle"
            parts.append(
                element(
                    "text", f"{share * 100:.0f} %", class_="tick", x=coordinate(gx), y=floor + 15, text_anchor=anchor
                )
            )
    parts.append(element("line", class_="chance", x1=left, x2=side - right, y1=floor, y2=top))
    parts.append(element("polygon", class_="area", points=f"{left},{floor} {points} {side - right},{floor}"))
    parts.append(element("polyline", class_="curve", points=points))
    rejected = scores.astype(np.float64) >= thresholds.image.value
    px = left + float(rejected[~labels].mean()) * span
    py = top + (1 - float(rejected[labels].mean())) * (floor - top)
    parts.append(element("circle", class_="point", cx=coordinate(px), cy=coordinate(py), r=5.5))
    middle = coordinate(left + span / 2)
    parts.append(element("text", "good parts rejected", class_="label", x=middle, y=side - 6, text_anchor="middle"))
    turned = f"translate(11 {coordinate((top + floor) / 2)}) rotate(-90)"
    parts.append(element("text", "bad parts rejected", class_="label", transform=turned, text_anchor="middle"))
    title = element("title", "Share of bad parts rejected against share of good parts rejected, for every threshold")
    return element("svg", title, join(parts), viewBox=f"0 0 {side} {side}", role="img")


def share_bar(accepted: int, warned: int, rejected: int) -> Markup:
    """One row's verdicts as a bar."""
    total = max(1, accepted + warned + rejected)
    parts, x = [], 0.0
    for kind, count in (("accept", accepted), ("warn", warned), ("reject", rejected)):
        if count:
            parts.append(
                element("rect", class_=kind, x=coordinate(x), y=0, width=coordinate(count / total * 120), height=10)
            )
            x += count / total * 120
    title = element("title", f"{accepted} accepted, {warned} warned, {rejected} rejected")
    return element(
        "svg", title, join(parts), class_="share", viewBox="0 0 120 10", preserveAspectRatio="none", role="img"
    )


def _range(scores: NDArray[np.float32], thresholds: Thresholds) -> tuple[float, float]:
    """The scores that the histogram spans: all of them, unless a few high ones would press the rest against its
    edge."""
    marks = (thresholds.warn.value, thresholds.image.value)
    low, highest = min(float(scores.min()), *marks), max(float(scores.max()), *marks)
    usual = max(float(np.quantile(scores, 0.95)), marks[1] + (marks[1] - low))
    end = usual if highest - low > 1.5 * (usual - low) else highest
    pad = max((end - low) * 0.02, abs(end) * 1e-6, float(np.finfo(np.float32).tiny))
    return low - pad, end + pad


def ticks(low: float, high: float) -> list[float]:
    """About six round numbers from `low` to `high`."""
    rough = (high - low) / 6
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def coordinate(value: float) -> str:
    """A place in a drawing, to a hundredth of its unit."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
