"""What the light falls on: the part as maps over the photograph, in the pose in which it lies there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Point = tuple[float, float]

_SHIFT = 4  # OpenCV's fixed-point drawing: sixteenths of a pixel
_BLEED = 0.6  # pixels that OpenCV's antialiased shapes reach beyond their outline


@dataclass(frozen=True)
class Pose:
    """How the part lies. x, y: of its bore, in sides of the photograph from the centre, y down. angle: radians."""

    angle: float = 0.0
    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> Pose:
        """The play of a part in its guides on the belt: three degrees, and about one percent of the photograph."""
        angle, x, y, scale = rng.uniform(-1, 1, 4)
        return cls(np.deg2rad(3.0) * angle, 0.008 * x, 0.008 * y, 1.12 + 0.006 * scale)

    def pixels(self, points: Sequence[Point] | NDArray[np.float64], side: int) -> NDArray[np.float64]:
        """Part coordinates [n, 2] -> pixel coordinates (x, y) [n, 2] in a photograph of `side` pixels."""
        u, v = np.asarray(points, np.float64).reshape(-1, 2).T
        sine, cosine = np.sin(self.angle), np.cos(self.angle)
        x = self.scale * (cosine * u - sine * v) + self.x
        y = self.scale * (sine * u + cosine * v) + self.y
        return (np.stack([x, y], 1) + 0.5) * side - 0.5


@dataclass
class Surface:
    """The part in its pose, float32 [side, side] maps. Lengths are in sides of a photograph.

    u, v: coordinates on the part, origin in its bore. height: above the belt, going on beyond the edges as if the
    material did. inside: 1 where there is material, 0 where the belt shows. albedo: diffuse reflectance. gloss: of the
    highlight. along, across: roughness (slope) along and across the tool marks. tx, ty: direction of the tool
    marks, a unit vector. grain: slope of the tool marks, across them. dye, colour: how much of a foreign colour covers
    the metal, 0..1, and which, linear RGB.
    """

    pose: Pose
    u: Map
    v: Map
    height: Map
    inside: Map
    albedo: Map
    gloss: Map
    along: Map
    across: Map
    tx: Map
    ty: Map
    grain: Map
    dye: Map | None = None
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def side(self) -> int:
        """Pixels along a side."""
        return int(self.height.shape[0])

    def distance(self, centre: Point | NDArray[np.float64]) -> Map:
        """Distance to a point of the part."""
        return magnitude(self.u - np.float32(centre[0]), self.v - np.float32(centre[1]))

    def stroke(
        self, points: Sequence[Point] | NDArray[np.float64], widths: Sequence[float] | NDArray[np.float64]
    ) -> Map:
        """0..1, antialiased: a line through `points` (part coordinates) that is `widths` wide at each of them."""
        corners, radii = self.pose.pixels(points, self.side), np.asarray(widths) * self.side / 2
        canvas = _canvas(self.side)
        narrow = np.maximum(radii - _BLEED, 0)
        for start, end, r0, r1 in zip(corners[:-1], corners[1:], narrow[:-1], narrow[1:], strict=True):
            step = (end - start) / max(float(np.hypot(*(end - start))), 1e-6)
            normal = np.array([-step[1], step[0]])
            quad = np.stack([start + r0 * normal, end + r1 * normal, end - r1 * normal, start - r0 * normal])
            cv2.fillConvexPoly(canvas, _fixed_point(quad), 255, cv2.LINE_AA, _SHIFT)
        return np.maximum(_as_map(canvas), dots(self.side, corners[1:-1], radii[1:-1]))

    def cover(self, amount: Map, colour: tuple[float, float, float]) -> None:
        """Cover the metal with a foreign colour, linear RGB, by `amount`, 0..1. One colour for one photograph."""
        self.dye, self.colour = amount, colour

    def blend(self, weight: Map, **values: Map | float) -> None:
        """Move the named maps towards `values` by `weight`, 0..1."""
        for name, value in values.items():
            field = getattr(self, name)
            setattr(self, name, field + weight * (value - field))


def dots(side: int, centres: NDArray[np.float64], radii: NDArray[np.float64]) -> Map:
    """0..1, antialiased [side, side]: discs at `centres`, (x, y) [n, 2] in pixels, of `radii` [n] pixels."""
    canvas = _canvas(side)
    at, narrow = _fixed_point(centres), _fixed_point(np.maximum(radii - _BLEED, 0))
    for (x, y), radius in zip(at.tolist(), narrow.tolist(), strict=True):
        cv2.circle(canvas, (x, y), radius, 255, -1, cv2.LINE_AA, _SHIFT)
    return _as_map(canvas)


def _canvas(side: int) -> NDArray[np.uint8]:
    return np.zeros((side, side), np.uint8)


def _as_map(canvas: NDArray[np.uint8]) -> Map:
    return cast(Map, canvas.astype(np.float32) / np.float32(255))


def _fixed_point(pixels: NDArray[np.float64]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.rint(pixels * 2**_SHIFT).astype(np.int32)
    return fixed


def magnitude(x: Map, y: Map) -> Map:
    """sqrt(x^2 + y^2)."""
    return cast(Map, cv2.magnitude(x, y))


def ramp(distance: Map, width: float) -> Map:
    """1 where `distance` is negative, 0 where it is positive, linear over `width` around 0."""
    slope: Map = distance * np.float32(-1 / width)
    slope += np.float32(0.5)
    return np.clip(slope, 0, 1, out=slope)


def smooth(image: Map, sigma: float) -> Map:
    """Gaussian blur, `sigma` in pixels; mirrored at the border."""
    return cast(Map, cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))
