"""Where to look: a region of interest and what to ignore inside of it, as polygons or as painted masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgead.data.images import read_image, read_mask
from edgead.errors import DataError

Point: TypeAlias = tuple[float, float]
Inside: TypeAlias = NDArray[np.bool_]

MOST_POINTS = 200
ASPECT_TOLERANCE = 0.01
"""By how much of it the aspect ratio of a mask may differ from the frame's: what rounding to whole pixels does."""


@dataclass(frozen=True)
class Polygon:
    """A simple polygon: (x, y) of its corners, 0..1 of the frame's width and height from its upper left corner.

    Raises DataError for fewer than 3 corners, a corner outside of the frame or given twice, sides that cross or touch,
    and corners on one straight line.
    """

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        points = self.points
        if not 3 <= len(points) <= MOST_POINTS:
            raise DataError(f"a polygon has {len(points)} corners", "area", f"give it 3 to {MOST_POINTS}")
        for number, (x, y) in enumerate(points, start=1):
            if not (0 <= x <= 1 and 0 <= y <= 1):
                what = f"corner {number} at ({x:g}, {y:g}) is outside of the frame"
                raise DataError(what, "area", "give x and y as shares of the frame's width and height, 0 to 1")
        if len(set(points)) < len(points):
            raise DataError("a polygon has the same corner twice", "area", "give each corner once")
        if _straight(points):
            raise DataError("the corners of a polygon lie on one straight line", "area", "draw it with an area")
        for (first, side), (second, other) in combinations(enumerate(_sides(points), start=1), 2):
            neighbours = second - first in (1, len(points) - 1)
            if _fold(side, other) if neighbours else _meet(*side, *other):
                what = f"sides {first} and {second} of a polygon cross"
                raise DataError(what, "area", "draw its outline without crossing it, or give two polygons")

    def inside(self, height: int, width: int, aspect: float | None = None) -> Inside:
        """bool [height, width]: the pixels whose centre lies inside. aspect: no matter, corners are relative."""
        x = (np.arange(width) + 0.5) / width
        y = ((np.arange(height) + 0.5) / height)[:, None]
        odd = np.zeros((height, width), np.bool_)
        for (x0, y0), (x1, y1) in _sides(self.points):
            if y0 != y1:  # a ray to the left crosses this side; an odd number of crossings means inside
                odd ^= ((y0 <= y) != (y1 <= y)) & (x > x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        return odd


@dataclass(frozen=True)
class MaskFile:
    """An image painted in white (brighter than 127 of 255) where the area is, of the frame's aspect ratio, any size."""

    path: Path

    def inside(self, height: int, width: int, aspect: float | None = None) -> Inside:
        """bool [height, width]: the pixels whose centre is painted. aspect: the frame's width / height.

        Raises DataError for a file that is no such mask, and one of another aspect ratio.
        """
        painted = read_image(self.path).shape
        own = painted[1] / painted[0]
        if aspect is not None and abs(own / aspect - 1) > ASPECT_TOLERANCE:
            what = f"the mask of {painted[1]} x {painted[0]} pixels has another aspect ratio than the frames"
            raise DataError(what, self.path, f"paint it over a frame of this camera ({aspect:.3f} wide to 1 high)")
        return read_mask(self.path, height, width)


Area: TypeAlias = Polygon | MaskFile
AreaKind: TypeAlias = Literal["roi", "ignore"]
"""Where alone to look, and where not to: the fields of `Rules` that hold areas."""


def parse_area(text: str) -> Area:
    """`x,y x,y x,y ...` in shares of the frame, or the path of a mask. Raises DataError for anything else."""
    words = text.replace(";", " ").split()
    try:
        corners = [tuple(float(number) for number in word.split(",")) for word in words]
    except ValueError:
        corners = []
    if corners and all(len(corner) == 2 for corner in corners):
        return Polygon(tuple((x, y) for x, y in corners))
    if not Path(text).is_file():
        todo = 'give corners like "0.1,0.1 0.9,0.1 0.9,0.9", or the path of a mask painted in white on black'
        raise DataError("this is neither a polygon nor an image file", text, todo)
    return MaskFile(Path(text))


def look_at(roi: Sequence[Area], ignore: Sequence[Area], grid: tuple[int, int], frame: tuple[int, int]) -> Inside:
    """bool `grid` [height, width]: in any area of `roi`, or everywhere where there is none, and in none of `ignore`.

    frame: its height and width in pixels. Raises DataError where nothing is left to look at, and for a bad mask.
    """
    aspect = frame[1] / frame[0]
    seen = np.zeros(grid, np.bool_) if roi else np.ones(grid, np.bool_)
    for area in roi:
        seen |= area.inside(*grid, aspect)
    for area in ignore:
        seen &= ~area.inside(*grid, aspect)
    if not seen.any():
        what = f"no pixel of the map ({grid[0]} x {grid[1]}) is left to look at"
        raise DataError(what, "region of interest", "draw it larger, or ignore less")
    return seen


def _sides(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    return list(zip(points, [*points[1:], points[0]], strict=True))


def _straight(points: Sequence[Point]) -> bool:
    """Whether all corners lie on one line."""
    return all(_turn(points[0], points[1], point) == 0 for point in points[2:])


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive, 0 or negative: from a to b to c one turns one way, goes straight on or back, or turns the other."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the sides ab and cd have a point in common."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if all(turn != 0 for turn in turns):
        return (turns[0] > 0) != (turns[1] > 0) and (turns[2] > 0) != (turns[3] > 0)
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _between(*three) for turn, three in zip(turns, ends, strict=True))


def _between(a: Point, b: Point, c: Point) -> bool:
    """Whether c, on the line through a and b, lies on the side ab."""
    return all(min(a[axis], b[axis]) <= c[axis] <= max(a[axis], b[axis]) for axis in (0, 1))


def _fold(side: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Whether two sides with a common corner lie on one another."""
    corner = next(point for point in side if point in other)
    (a,) = (point for point in side if point != corner)
    (b,) = (point for point in other if point != corner)
    same_way = sum((a[axis] - corner[axis]) * (b[axis] - corner[axis]) for axis in (0, 1)) > 0
    return _turn(corner, a, b) == 0 and same_way
