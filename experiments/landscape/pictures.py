"""A loss landscape as SVG: from above with its iso-lines, and in perspective. Both have the same axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgead.evaluation.charts import coordinate
from edgead.evaluation.markup import Markup, element, join
from edgead.experiments.landscape.isolines import isolines, region
from edgead.experiments.landscape.plane import RADIUS, Landscape
from edgead.experiments.landscape.scale import Scale, colour, number

_WIDE, _HIGH = 470, 388
_LEFT, _TOP, _SIDE = 58, 14, 322  # of the contour's square
_APART = 30.0  # the labels of iso-lines
_TURN, _TILT = math.radians(36), math.radians(40)  # of the surface: around its middle, and towards the reader
_ACROSS, _TALL, _MIDDLE, _FLOOR = 122.0, 138.0, 244.0, 256.0
_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # in extents
_LIGHT = np.array([-0.5, -0.35, 0.79])  # from the left, from the front and above

Spot = tuple[float, float]


def contour(title: str, landscape: Landscape, scale: Scale) -> Markup:
    """The landscape from above: bands of colour, iso-lines with their losses, a cross at the model's own weights, the
    circle on which the rise is measured, and the key to the colours."""
    axis, losses, extent = landscape.axis, scale.finite(landscape.losses), float(landscape.axis[-1])

    def spot(x: float, y: float) -> Spot:
        return _LEFT + (x / extent + 1) / 2 * _SIDE, _TOP + (1 - y / extent) / 2 * _SIDE

    (_, _, lowest), *bands = scale.bands
    parts = [element("rect", x=_LEFT, y=_TOP, width=_SIDE, height=_SIDE, fill=lowest)]
    for level, (_, _, fill) in zip(scale.levels, bands, strict=True):
        if borders := region(axis, axis, losses, level):
            d = "".join(f"{_path([spot(*place) for place in line])}Z" for line in borders)
            parts.append(element("path", d=d, fill=fill, fill_rule="evenodd"))
    x, y = spot(0, 0)
    labels: list[Markup] = []
    taken = [(x, y)]
    for level in scale.levels:
        for line in isolines(axis, axis, losses, level):
            spots = [spot(*place) for place in line]
            parts.append(element("path", class_="isoline", d=_path(spots)))
            free = _free(spots, taken)
            if free is not None:
                taken.append(free)
                place = {"x": coordinate(free[0]), "y": coordinate(free[1] + 4)}
                labels.append(element("text", number(level), class_="level", text_anchor="middle", **place))
    if extent > RADIUS:
        radius = coordinate(RADIUS / extent * _SIDE / 2)
        parts.append(element("circle", class_="radius", cx=coordinate(x), cy=coordinate(y), r=radius))
    parts.append(element("path", class_="own", d=f"M{x - 5:g} {y:g}h10M{x:g} {y - 5:g}v10"))
    return _svg(title, [*parts, *labels, *_square(extent), *scale.bar(_LEFT + _SIDE + 20, _TOP + 18, _SIDE - 18)])


def _free(spots: Sequence[Spot], taken: Sequence[Spot]) -> Spot | None:
    """The spot of a line that is farthest from other labels, well inside the square; None where none is free."""
    inside = [(x, y) for x, y in spots if _LEFT + 18 < x < _LEFT + _SIDE - 18 and _TOP + 10 < y < _TOP + _SIDE - 10]
    distance, found = max(
        ((min(math.dist(spot, other) for other in taken), spot) for spot in inside), default=(0, None)
    )
    return found if distance >= _APART else None


def _square(extent: float) -> list[Markup]:
    """The axes of the contour."""
    parts, below = [], _TOP + _SIDE
    for tick in _TICKS:
        x, y = _LEFT + (tick + 1) / 2 * _SIDE, _TOP + (1 - tick) / 2 * _SIDE
        parts.append(_stroke("axis", [(x, below), (x, below + 4)]))
        parts.append(_stroke("axis", [(_LEFT - 4, y), (_LEFT, y)]))
        parts.append(_text("tick", number(tick * extent), x, below + 18))
        parts.append(_text("tick", number(tick * extent), _LEFT - 8, y + 4, "end"))
    turned = f"translate(12 {coordinate(_TOP + _SIDE / 2)}) rotate(-90)"
    parts.append(element("text", "along direction 2", class_="label", transform=turned, text_anchor="middle"))
    return [*parts, _text("label", "along direction 1", _LEFT + _SIDE / 2, _HIGH - 8)]


def surface(title: str, landscape: Landscape, scale: Scale) -> Markup:
    """The landscape in parallel perspective, seen from the contour's lower edge and a little from its right. Height and
    colour are the loss on the scale."""
    axis, extent = landscape.axis, float(landscape.axis[-1])
    shares = scale.shares(landscape.losses)
    marks = list(zip(scale.levels, scale.shares(np.array(scale.levels)).tolist(), strict=True))[::2]
    parts = [_stroke("grid", [_spot(-1, -1, share), _spot(-1, 1, share), _spot(1, 1, share)]) for _, share in marks]
    parts += [
        _stroke("grid", [_spot(-1, -1), _spot(-1, 1), _spot(1, 1)]),
        _stroke("grid", [_spot(-1, 1), _spot(-1, 1, 1)]),
    ]
    parts.append(_stroke("grid", [_spot(1, 1), _spot(1, 1, 1)]))
    parts += _faces(axis / extent, shares)
    parts.append(_stroke("axis", [_spot(-1, -1, 1), _spot(-1, -1), _spot(1, -1), _spot(1, 1)]))
    for level, share in marks:
        x, y = _spot(-1, -1, share)
        parts += [_stroke("axis", [(x - 4, y), (x, y)]), _text("tick", number(level), x - 8, y + 4, "end")]
    x, y = _spot(-1, -1, 1)
    parts.append(_text("label", "loss", x, y - 10))
    for tick in _TICKS[::2]:
        for (x, y), anchor, shift in ((_spot(tick, -1), "end", -3), (_spot(1, tick), "start", 5)):
            parts.append(_text("tick", number(tick * extent), x + shift, y + 15, anchor))
    parts.append(_text("label", "along direction 1", _LEFT, _spot(0, -1)[1] + 34, "start"))
    parts.append(_text("label", "along direction 2", _WIDE - 2, _spot(1, 0)[1] + 34, "end"))
    return _svg(title, parts)


def _nearness(x: float, y: float) -> float:
    return x * math.sin(_TURN) - y * math.cos(_TURN)


def _spot(x: float, y: float, share: float = 0.0) -> Spot:
    """Where a place of the square, -1..1, and a height, 0..1, are in the drawing of the surface."""
    along = x * math.cos(_TURN) + y * math.sin(_TURN)
    return _MIDDLE + _ACROSS * along, _FLOOR + _ACROSS * math.sin(_TILT) * _nearness(x, y) - _TALL * share


def _faces(axis: NDArray[np.float64], shares: NDArray[np.float64]) -> list[Markup]:
    """The surface's quadrilaterals, the farthest first, so that nearer ones are painted over it."""
    cells = [(row, column) for row in range(len(axis) - 1) for column in range(len(axis) - 1)]
    faces = []
    for row, column in sorted(cells, key=lambda cell: _nearness(axis[cell[1]], axis[cell[0]])):
        corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
        heights = shares[row : row + 2, column : column + 2]
        points = " ".join(",".join(map(coordinate, _spot(axis[c], axis[r], shares[r, c]))) for r, c in corners)
        fill = colour(float(heights.mean()), _light(heights, float(axis[1] - axis[0])))
        faces.append(element("polygon", class_="face", points=points, fill=fill))
    return faces


def _light(heights: NDArray[np.float64], step: float) -> float:
    """How much light falls on a face, 0..1: heights of its corners as shares, and its side as part of the square."""
    scale = _TALL / _ACROSS / step / 2
    slope_x = float(heights[:, 1].sum() - heights[:, 0].sum()) * scale
    slope_y = float(heights[1].sum() - heights[0].sum()) * scale
    normal = np.array([-slope_x, -slope_y, 1.0]) / math.hypot(slope_x, slope_y, 1.0)
    return 0.72 + 0.28 * max(0.0, float(normal @ _LIGHT))


def _path(spots: Sequence[Spot]) -> str:
    return "M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in spots)


def _stroke(look: str, spots: Sequence[Spot]) -> Markup:
    return element("path", class_=look, d=_path(spots), fill="none")


def _text(look: str, words: str, x: float, y: float, anchor: str = "middle") -> Markup:
    return element("text", words, class_=look, x=coordinate(x), y=coordinate(y), text_anchor=anchor)


def _svg(title: str, parts: Sequence[Markup]) -> Markup:
    inside = element("title", title), join(list(parts))
    return element("svg", *inside, viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", xmlns="http://www.w3.org/2000/svg")
