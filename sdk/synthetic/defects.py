"""What goes wrong with a part: each defect changes the surface, and the light finds it there.

A defect is a function `(surface, rng) -> None`; the mask is measured afterwards, where the picture changed. Lengths are
in sides of a photograph that shows the part at scale 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgead.synthetic import part, texture
from edgead.synthetic.surface import Map, Point, Surface, ramp, smooth

Defect = Callable[[Surface, np.random.Generator], None]


def scratch(surface: Surface, rng: np.random.Generator) -> None:
    """One to three slender grooves with raised lips, side by side, as a slip of the gripper leaves them."""
    start = np.array(part.spot(rng, 0.01))
    heading, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-1.2, 1.2)
    length, width, depth = rng.uniform(0.12, 0.28), rng.uniform(0.0085, 0.0140), rng.uniform(0.0024, 0.0042)
    heading = _inward(start, heading)
    steps = np.linspace(0, 1, 24)
    angles = heading + bend * steps
    path = start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0) * (length / len(steps))
    sideways = np.array([-np.sin(heading), np.cos(heading)])
    taper = np.sin(np.pi * np.clip(steps * 0.9 + 0.08, 0, 1)) ** 0.5
    for lane in range(int(rng.integers(1, 4))):
        shift = rng.uniform(0.008, 0.016) * lane * sideways
        cut = slice(int(rng.integers(0, 6)), 24 - int(rng.integers(0, 6)))
        groove = surface.stroke((path + shift)[cut], width * rng.uniform(0.7, 1) * taper[cut])
        lips = np.float32(0.45) * smooth(groove, surface.side * width * 0.55)
        surface.height += np.float32(depth) * (lips - smooth(groove, surface.side * 0.0012))
        surface.blend(groove, albedo=0.09, gloss=0.12, along=0.5, across=0.5, grain=0.0)  # torn metal


def dent(surface: Surface, rng: np.random.Generator) -> None:
    """A blow: an oval hollow with the displaced metal around it."""
    radius, steep = rng.uniform(0.015, 0.030), rng.uniform(0.40, 0.90)
    stretch, angle = rng.uniform(1, 1.5), rng.uniform(0, np.pi)
    u, v = part.spot(rng, 0.6 * radius)
    du, dv = surface.u - np.float32(u), surface.v - np.float32(v)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    square = ((cosine * du + sine * dv) / (radius * stretch)) ** 2 + ((cosine * dv - sine * du) / radius) ** 2
    wall = np.exp(-((np.sqrt(square) - 1.5).astype(np.float32) ** 2) * 5)
    surface.height += np.float32(steep * radius) * (np.float32(0.22) * wall - np.exp(-square)).astype(np.float32)
    surface.blend(np.exp(-square * square).astype(np.float32), albedo=part.ALBEDO * 1.1, across=0.38, along=0.38)


def stain(surface: Surface, rng: np.random.Generator) -> None:
    """A film of old oil, or rust."""
    radius = rng.uniform(0.022, 0.055)
    blob = _blob(surface, part.spot(rng, 0.02), radius, 0.45, rng)
    if rng.random() < 0.5:
        film = ramp(blob, 0.022)
        rim = np.exp(-((blob / 0.008) ** 2)).astype(np.float32)
        amount = np.float32(rng.uniform(0.55, 0.95)) * np.clip(0.72 * film + 0.4 * rim, 0, 1)
        surface.blend(film, gloss=surface.gloss * 0.75, along=0.2, across=0.35)
        surface.cover(amount, (0.36, 0.25, 0.12))
    else:
        speckle = texture.window(texture.mottled(surface.side), surface.side, rng)
        film = ramp(blob + np.float32(0.010) * speckle, 0.014)
        surface.blend(film, gloss=0.10, along=0.6, across=0.6, albedo=0.30 + 0.03 * speckle)
        surface.cover(film * np.float32(rng.uniform(0.75, 1.0)), (0.62, 0.25, 0.09))


def crack(surface: Surface, rng: np.random.Generator) -> None:
    """A jagged line from an edge into the metal, thin and dark, with a branch."""
    if rng.random() < 0.5:
        centre, radius = _corner(rng), part.HOLE
        heading = np.arctan2(-centre[1], -centre[0]) + rng.uniform(-0.9, 0.9)  # inwards, where there is metal to crack
    else:
        centre, radius, heading = np.zeros(2), part.BORE, rng.uniform(0, 2 * np.pi)
    start = centre + radius * np.array([np.cos(heading), np.sin(heading)])
    path = _walk(start, heading, rng.uniform(0.08, 0.15), 0.55, rng)
    width = rng.uniform(0.0075, 0.0110)
    gap = surface.stroke(path, np.linspace(width, 0.5 * width, len(path)))
    fork = int(rng.integers(len(path) // 3, 2 * len(path) // 3))
    branch = _walk(path[fork], heading + rng.choice([-1, 1]) * rng.uniform(0.5, 0.9), rng.uniform(0.03, 0.05), 0.5, rng)
    gap = np.maximum(gap, surface.stroke(branch, np.linspace(0.65 * width, 0.45 * width, len(branch))))
    surface.height -= np.float32(0.003) * smooth(gap, surface.side * 0.0016)
    surface.blend(gap, albedo=0.012, gloss=0.02)


def chip(surface: Surface, rng: np.random.Generator) -> None:
    """A piece broken out of the edge of the plate; the break is rough and slopes down."""
    side, along = int(rng.integers(4)), rng.uniform(-0.26, 0.26)
    radius = rng.uniform(0.024, 0.046)
    out = part.PLATE + 0.2 * radius
    centre = [(along, -out), (out, along), (along, out), (-out, along)][side]
    gone = _blob(surface, centre, radius, 0.35, rng)
    speckle = texture.window(texture.mottled(surface.side), surface.side, rng)
    band = ramp(gone - np.float32(0.010), 0.016)
    surface.height -= np.float32(0.014) * band
    surface.height += np.float32(0.0009) * speckle * band
    surface.blend(band, gloss=0.20, along=0.6, across=0.6, albedo=0.26, grain=0.0)
    surface.inside *= 1 - ramp(gone, 1.5 / surface.side)


def missing_hole(surface: Surface, rng: np.random.Generator) -> None:
    """One of the four holes was not drilled, only counterbored, or is plugged with swarf."""
    distance = surface.distance(_corner(rng))
    kind = rng.integers(3)
    if kind == 0:
        surface.blend(ramp(distance - np.float32(part.COUNTERBORE + 0.006), 0.004), height=part.PLATE_TOP, inside=1.0)
        return
    hole = ramp(distance - np.float32(part.HOLE + 0.006), 0.004)
    if kind == 1:
        surface.blend(hole, height=part.PLATE_TOP - 0.018, inside=1.0)
        return
    lumps = part.PLATE_TOP - 0.024 + 0.003 * texture.clouds(surface.side, 60, rng)
    surface.blend(hole, height=lumps, inside=1.0, albedo=0.16, gloss=0.25, along=0.4, across=0.4)
    surface.cover(hole * np.float32(0.8), (0.55, 0.45, 0.33))


def burr(surface: Surface, rng: np.random.Generator) -> None:
    """Metal that the tool pushed over an edge and nobody took off: a ragged bright lip that reaches into a hole."""
    if rng.random() < 0.5:
        centre, radius, span = np.zeros(2), part.BORE, rng.uniform(0.5, 0.9)
        middle = rng.uniform(-0.4, np.pi + 0.4)  # not over the keyway
    else:
        centre, radius, span = _corner(rng), part.HOLE, rng.uniform(1.2, 2.2)
        middle = rng.uniform(0, 2 * np.pi)
    angles = middle + np.linspace(-span / 2, span / 2, 28)
    ragged = np.convolve(rng.uniform(0.2, 1, 30), (0.25, 0.5, 0.25), "valid")
    width = 0.003 + rng.uniform(0.013, 0.026) * ragged * np.sin(np.linspace(0.15, np.pi - 0.15, 28)) ** 0.5
    path = centre + (radius + 0.0045 - width[:, None] / 2) * np.stack([np.cos(angles), np.sin(angles)], 1)
    lip = surface.stroke(path, width)
    surface.blend(lip, height=part.PLATE_TOP - 0.004, inside=1.0)
    surface.blend(lip, albedo=0.28, gloss=0.9, along=0.45, across=0.45, grain=0.0)
    surface.height += np.float32(rng.uniform(0.004, 0.008)) * smooth(lip, surface.side * 0.004)
    surface.height += np.float32(0.0012) * lip * texture.clouds(surface.side, 70, rng)


def contamination(surface: Surface, rng: np.random.Generator) -> None:
    """Something lies on the part: a fibre, or a curl of swarf."""
    u, v = part.spot(rng, 0.02)
    heading = _inward(np.array([u, v]), rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.5:
        bends = np.cumsum(np.convolve(rng.normal(0, 0.16, 36), np.ones(7) / 7**0.5, "valid"))
        angles = heading + bends
        path = (u, v) + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0) * (rng.uniform(0.12, 0.24) / 30)
        body = surface.stroke(path, np.full(len(path), rng.uniform(0.0090, 0.0130)))
        surface.blend(body, albedo=0.22, gloss=0.03, grain=0.0, inside=1.0)
        colours = ((0.10, 0.13, 0.35), (0.08, 0.07, 0.07), (0.55, 0.12, 0.08))
        surface.cover(body, colours[rng.integers(len(colours))])
    else:
        turn, step = rng.uniform(0.014, 0.020), np.linspace(0, 1, 72)
        loops = 2 * np.pi * rng.uniform(2.5, 4.5) * step
        length = rng.uniform(0.07, 0.11)
        x, y = length * step + turn * np.cos(loops), turn * (1 - 0.4 * step) * np.sin(loops)
        sine, cosine = np.sin(heading), np.cos(heading)
        path = np.stack([u + cosine * x - sine * y, v + sine * x + cosine * y], 1)
        body = surface.stroke(path, np.full(len(path), rng.uniform(0.0095, 0.0120)))
        surface.blend(body, albedo=0.25, gloss=1.1, along=0.5, across=0.5, grain=0.0, inside=1.0)
        surface.cover(body * np.float32(0.8), (0.95, 0.72, 0.42))
    surface.height += np.float32(0.008) * smooth(body, surface.side * 0.0022)


DEFECTS: dict[str, Defect] = {
    kind.__name__: kind for kind in (scratch, dent, stain, crack, chip, missing_hole, burr, contamination)
}
"""Every kind of defect by the name of its folder in a data set."""


def _corner(rng: np.random.Generator) -> NDArray[np.float64]:
    """The centre of one of the four holes."""
    return rng.choice([-part.HOLE_AT, part.HOLE_AT], 2)


def _blob(surface: Surface, centre: Point, radius: float, ragged: float, rng: np.random.Generator) -> Map:
    """Signed distance to an irregular patch, roughly; negative inside."""
    uneven = texture.clouds(surface.side, 34, rng) + texture.clouds(surface.side, 14, rng)
    blob: Map = surface.distance(centre) + np.float32(ragged * radius / 2) * uneven - np.float32(radius)
    return blob


def _inward(start: NDArray[np.float64], heading: float) -> float:
    """`heading`, or its reverse where that leads off the part sooner."""
    return heading if np.dot(start, (np.cos(heading), np.sin(heading))) <= 0 else heading + np.pi


def _walk(
    start: NDArray[np.float64], heading: float, length: float, jag: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A jagged path [n, 2] that keeps its heading on the whole."""
    count = max(int(length / 0.007), 3)
    angles = heading + rng.uniform(-jag, jag, count) + np.cumsum(rng.normal(0, 0.10, count))
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * (length / count)
    return np.concatenate([start[None], start + np.cumsum(steps, 0)])
