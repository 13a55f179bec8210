"""The good part: a square bearing flange, ground on its plate, turned on its hub, with four counterbored holes.

Lengths are in sides of a photograph that shows the part at scale 1, like everywhere in `edgead.synthetic`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from edgead.synthetic import texture
from edgead.synthetic.marking import marking
from edgead.synthetic.surface import Map, Point, Pose, Surface, magnitude, ramp, smooth

PLATE = 0.36  # half the side of the plate
CORNER = 0.10  # radius of its corners
PLATE_TOP = 0.060
BORE, HUB = 0.105, 0.225  # radii
GROOVE = (0.158, 0.177)
HOLE, COUNTERBORE, HOLE_AT = 0.036, 0.060, 0.262
SLOT_AT, SLOT_LENGTH, SLOT_RADIUS = 0.297, 0.075, 0.021
PIN_AT, PIN = -0.294, 0.014
KEY, KEY_AT, KEY_LENGTH = 0.019, 0.070, 0.058  # keyway: half its width, centre above the bore's, half its length
ALBEDO = 0.20
_WALL = 2.5  # slope of the walls of bore and holes, as far as the camera sees them
_DEPTH_OF_VIEW = 0.976  # the lower rim of a hole, farther from the camera, appears smaller and nearer the centre
_SAMPLES = 4096  # of a profile

Profile = Sequence[tuple[float, float]]
"""(distance from an axis, height) from the axis outwards."""


@dataclass(frozen=True)
class Tolerances:
    """What a drawing allows to differ from part to part: radii, the chamfer, and the depth of the marking."""

    bore: float = 0.0
    hub: float = 0.0
    hole: float = 0.0
    chamfer: float = 0.011
    marking: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> Tolerances:
        bore, hub, hole, chamfer, marking = rng.uniform(-1, 1, 5)
        return cls(0.0008 * bore, 0.0008 * hub, 0.0006 * hole, 0.011 + 0.0012 * chamfer, 1 + 0.15 * marking)


def build(side: int, pose: Pose, rng: np.random.Generator) -> Surface:
    """A good part in `pose`, as maps of [side, side]. `rng` gives its tolerances, tool marks and grain."""
    size = Tolerances.random(rng)
    u, v = _coordinates(side, pose)
    across, down = np.abs(u), np.abs(v)
    radius = magnitude(u, v)
    slot = magnitude(across - np.float32(SLOT_AT), np.maximum(down - np.float32(SLOT_LENGTH), 0))
    outline = _outline(across, down)

    height = ramp(outline + np.float32(size.chamfer / 2), size.chamfer)
    height *= np.float32(size.chamfer)
    height += np.float32(PLATE_TOP - size.chamfer)
    height += _along(radius, _hub_profile(size))
    height += _along(magnitude(across - np.float32(HOLE_AT), down - np.float32(HOLE_AT)), _hole_profile(size))
    height += _along(slot, ((0, -0.013), (SLOT_RADIUS - 0.008, -0.013), (SLOT_RADIUS, 0)))
    height += _along(magnitude(u, v - np.float32(PIN_AT)), ((0, -0.020), (PIN - 0.002, -0.018), (PIN + 0.003, 0)))
    height -= marking(side, pose) * np.float32(0.0022 * size.marking)

    lathe = ramp(radius - np.float32(HUB), 4 / side)
    grain = texture.turned(texture.brushed(side), side, pose.angle, rng)
    grain += lathe * (np.float32(0.6) * _lathe_marks(radius, rng) - grain)
    grain *= np.float32(0.05)
    mottle = texture.window(texture.mottled(side), side, rng)
    albedo = np.float32(0.35) * grain + np.float32(0.012) * (mottle + texture.clouds(side, 5, rng))
    albedo += 1
    albedo *= np.float32(ALBEDO)
    tx, ty = _tool_marks(u, v, radius, lathe, pose)
    surface = Surface(
        pose=pose,
        u=u,
        v=v,
        height=smooth(height, 0.0016 * side),
        inside=_inside(outline, radius, across, down, v, size),
        albedo=albedo,
        gloss=np.float32(0.50) + np.float32(0.45) * lathe,
        along=np.float32(0.30) - np.float32(0.10) * lathe,
        across=np.float32(0.50) + np.float32(0.05) * lathe,
        tx=tx,
        ty=ty,
        grain=grain,
    )
    rough = ramp(slot - np.float32(SLOT_RADIUS - 0.004), 0.006)  # the floor of the slots is as cast
    surface.blend(rough, albedo=0.20, gloss=0.12, along=0.5, across=0.5)
    surface.grain += rough * mottle * np.float32(0.06)
    return surface


def _coordinates(side: int, pose: Pose) -> tuple[Map, Map]:
    axis = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side) - np.float32(0.5)
    x, y = (axis - np.float32(pose.x))[None, :], (axis - np.float32(pose.y))[:, None]
    cosine, sine = np.float32(np.cos(pose.angle) / pose.scale), np.float32(np.sin(pose.angle) / pose.scale)
    return cosine * x + sine * y, cosine * y - sine * x


def _outline(across: Map, down: Map) -> Map:
    """Signed distance to the rounded square, negative inside."""
    straight = np.float32(PLATE - CORNER)
    x, y = across - straight, down - straight
    outside = magnitude(np.maximum(x, 0), np.maximum(y, 0))
    distance: Map = outside + np.minimum(np.maximum(x, y), 0) - np.float32(CORNER)
    return distance


def _inside(outline: Map, radius: Map, across: Map, down: Map, v: Map, size: Tolerances) -> Map:
    """1 where material hides the belt. The camera, above the bore, sees the outer walls of the holes."""
    edge = 1.5 / outline.shape[0]
    key = np.maximum(across - np.float32(KEY), np.abs(v + np.float32(KEY_AT)) - np.float32(KEY_LENGTH))
    lower = np.float32(HOLE_AT * _DEPTH_OF_VIEW)
    hole = magnitude(across - lower, down - lower)
    inside = ramp(outline, edge)
    inside *= ramp(np.float32((BORE + size.bore) * _DEPTH_OF_VIEW) - radius, edge)
    inside *= ramp(np.float32((HOLE + size.hole) * _DEPTH_OF_VIEW) - hole, edge)
    inside *= ramp(-key, edge)
    return inside


def _tool_marks(u: Map, v: Map, radius: Map, lathe: Map, pose: Pose) -> tuple[Map, Map]:
    """Their direction in the photograph: along the part's x on the plate, around the bore on the hub."""
    cosine, sine = math.cos(pose.angle), math.sin(pose.angle)
    plate: Map = 1 - lathe
    safe: Map = np.maximum(radius, np.float32(1e-3))
    hub: Map = lathe / safe
    tx = np.asarray(plate * cosine - hub * (v * cosine + u * sine), np.float32)
    ty = np.asarray(plate * sine + hub * (u * cosine - v * sine), np.float32)
    return tx, ty


def _along(distance: Map, profile: Profile) -> Map:
    """The piecewise linear profile at every pixel's distance from an axis; 0 beyond its end."""
    at, height = zip(*profile, strict=True)
    samples = np.interp(np.linspace(0, at[-1], _SAMPLES), at, height).astype(np.float32)
    samples[-1] = 0
    return _at(samples, distance, at[-1])


def _at(samples: Map, distance: Map, end: float) -> Map:
    """The nearest of the samples, which lie evenly between distances 0 and `end`, for every pixel."""
    last = samples.size - 1
    return cast(Map, samples.take(np.minimum(distance * np.float32(last / end), last).astype(np.int32)))


def _hub_profile(size: Tolerances) -> Profile:
    """Wall of the bore, chamfer, inner land, groove, outer land, chamfer, wall and fillet down to the plate."""
    bore, hub, top = BORE + size.bore, HUB + size.hub, 0.032
    return (
        (0, top - 0.012 - _WALL * bore),
        (bore, top - 0.012),
        (bore + 0.012, top),
        (GROOVE[0], top),
        (GROOVE[0] + 0.005, top - 0.009),
        (GROOVE[1] - 0.005, top - 0.009),
        (GROOVE[1], top + 0.002),
        (hub - 0.008, top + 0.002),
        (hub, top - 0.005),
        (hub + 0.014, 0.004),
        (hub + 0.026, 0),
    )


def _hole_profile(size: Tolerances) -> Profile:
    """Wall of the hole, chamfer, floor of the counterbore and its wall up to the plate."""
    hole, floor = HOLE + size.hole, -0.018
    return (
        (0, floor - 0.005 - _WALL * hole),
        (hole, floor - 0.005),
        (hole + 0.005, floor),
        (COUNTERBORE - 0.007, floor),
        (COUNTERBORE - 0.002, -0.003),
        (COUNTERBORE + 0.002, 0),
    )


def _lathe_marks(radius: Map, rng: np.random.Generator) -> Map:
    """The feed of the lathe: fine rings that drift in depth, deviation about 1."""
    side = radius.shape[0]
    samples = rng.standard_normal((1, side), dtype=np.float32)
    fine, coarse = smooth(samples, 1.0), smooth(samples, 5.0)
    marks = fine / fine.std() + coarse / coarse.std()
    return _at(marks, radius, 0.5)


def spot(rng: np.random.Generator, clear: float) -> Point:
    """A random point (u, v) on the plate or the hub, at least `clear` away from every edge, hole, groove and slot."""
    while True:
        u, v = rng.uniform(-PLATE, PLATE, 2)
        if _clearance(float(u), float(v)) >= clear:
            return float(u), float(v)


def _clearance(u: float, v: float) -> float:
    """Distance to the nearest feature of the part; negative on a feature or beside the part."""
    radius, across, down = math.hypot(u, v), abs(u), abs(v)
    corner = math.hypot(max(across - PLATE + CORNER, 0), max(down - PLATE + CORNER, 0))
    plate = min(
        CORNER - corner - 0.012,
        PLATE - 0.012 - max(across, down),
        radius - HUB - 0.026,
        math.hypot(u, v - PIN_AT) - PIN - 0.003,
        math.hypot(across - HOLE_AT, down - HOLE_AT) - COUNTERBORE - 0.003,
        math.hypot(across - SLOT_AT, max(down - SLOT_LENGTH, 0)) - SLOT_RADIUS,
    )
    keyway = math.hypot(max(across - KEY, 0), max(abs(v + KEY_AT) - KEY_LENGTH, 0)) - 0.012
    lands = ((BORE + 0.012, GROOVE[0]), (GROOVE[1], HUB - 0.008))
    return max(plate, *(min(radius - inner, outer - radius, keyway) for inner, outer in lands))
