"""Values over epochs as SVG: one scale on the left, another on the right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgead.evaluation.charts import coordinate, ticks
from edgead.evaluation.markup import Markup, element, join

_WIDE, _HIGH, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 320, 58, 54, 26, 44
_PLAIN = 4  # digits that say a tick


@dataclass(frozen=True)
class Course:
    """One line: its places (epoch, value), the page's colour for it ("good"), and the dashes of its stroke. A value
    that is not a number leaves a gap."""

    points: Sequence[tuple[float, float]]
    colour: str
    dashes: str | None = None

    @property
    def known(self) -> list[float]:
        """Its values that are numbers."""
        return [value for _, value in self.points if math.isfinite(value)]


@dataclass(frozen=True)
class Axis:
    """A vertical scale: its name, and the values at the bottom and at the top."""

    name: str
    low: float
    high: float


def curves(title: str, left: tuple[Axis, Sequence[Course]], right: tuple[Axis, Sequence[Course]]) -> Markup:
    """Courses over epochs, which run from the first of any to the last of any, on two vertical scales."""
    epochs = [epoch for _, courses in (left, right) for course in courses for epoch, _ in course.points]
    begin, end = (min(epochs), max(epochs)) if epochs else (0.0, 1.0)
    span = end - begin or 1.0
    floor, edge = _HIGH - _BOTTOM, _WIDE - _RIGHT

    def x_of(epoch: float) -> float:
        return _LEFT + (epoch - begin) / span * (edge - _LEFT)

    parts = _grid(right[0])
    for tick in ticks(begin, begin + span):
        if tick == int(tick) and tick <= end:
            place = coordinate(x_of(tick))
            parts.append(element("line", class_="axis", x1=place, x2=place, y1=floor, y2=floor + 4))
            parts.append(element("text", int(tick), class_="tick", x=place, y=floor + 18, text_anchor="middle"))
    parts.append(element("line", class_="axis", x1=_LEFT, x2=edge, y1=floor, y2=floor))
    middle = coordinate((_LEFT + edge) / 2)
    parts.append(element("text", "epoch", class_="label", x=middle, y=_HIGH - 6, text_anchor="middle"))
    parts += _scale(left[0], _LEFT - 8, "end", 0)
    parts += _scale(right[0], edge + 8, "start", _WIDE)
    for axis, courses in (left, right):
        for course in courses:
            parts += _line(course, axis, x_of)
    return element("svg", element("title", title), join(parts), viewBox=f"0 0 {_WIDE} {_HIGH}", role="img")


def span_of(
    courses: Sequence[Course], step: float, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """The lowest and the highest value, each moved outwards to a multiple of `step`; within `least` and `most`."""
    known = [value for course in courses for value in course.known]
    if not known:
        return (0.0 if least == -math.inf else least), (1.0 if most == math.inf else most)
    low, high = math.floor(min(known) / step) * step, math.ceil(max(known) / step) * step
    if high == low:
        low, high = (low - step, high) if high + step > most else (low, high + step)
    return max(low, least), min(high, most)


def _y_of(value: float, axis: Axis) -> float:
    share = (value - axis.low) / (axis.high - axis.low or 1.0)
    return _TOP + (1 - share) * (_HIGH - _BOTTOM - _TOP)


def _grid(axis: Axis) -> list[Markup]:
    lines = []
    for tick in ticks(axis.low, axis.high):
        place = coordinate(_y_of(tick, axis))
        lines.append(element("line", class_="grid", x1=_LEFT, x2=_WIDE - _RIGHT, y1=place, y2=place))
    return lines


def _scale(axis: Axis, x: float, anchor: str, name_at: float) -> list[Markup]:
    """The numbers of a scale, and its name above them."""
    name = element("text", axis.name, class_="label", x=name_at, y=12, text_anchor="start" if name_at == 0 else "end")
    numbers = [
        element(
            "text",
            f"{tick:.{_PLAIN}g}",
            class_="tick",
            x=coordinate(x),
            y=coordinate(_y_of(tick, axis) + 4),
            text_anchor=anchor,
        )
        for tick in ticks(axis.low, axis.high)
    ]
    return [name, *numbers]


def _line(course: Course, axis: Axis, x_of: Callable[[float], float]) -> list[Markup]:
    """The line and, where there are few of them, its points."""
    stroke = f"stroke: var(--{course.colour})"
    runs: list[list[str]] = [[]]
    for epoch, value in course.points:
        if math.isfinite(value):
            runs[-1].append(f"{coordinate(x_of(epoch))},{coordinate(_y_of(value, axis))}")
        elif runs[-1]:
            runs.append([])
    parts = [
        element("polyline", class_="curve", points=" ".join(run), style=stroke, stroke_dasharray=course.dashes)
        for run in runs
        if run
    ]
    places = [place for run in runs for place in run]
    if len(places) <= 30:
        for place in places:
            x, y = place.split(",")
            parts.append(element("circle", cx=x, cy=y, r=2.6, style=f"fill: var(--{course.colour})"))
    return parts
