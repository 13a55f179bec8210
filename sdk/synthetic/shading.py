"""Light on the part and on the belt: a softbox from one side, a dome above, shadows between.

Surfaces are described by their slopes p = dz/dx, q = dz/dy. A highlight is brightest where a surface mirrors the light
into the camera, that is where its slope is the half vector's, and falls off like a Gaussian of the roughness (Beckmann
1963), along and across the tool marks separately (Ward 1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.synthetic import texture
from edgead.synthetic.surface import Map, Surface, ramp, smooth

BELT_COLOUR = np.array([0.056, 0.080, 0.075], np.float32)  # linear RGB of the coating
METAL_COLOUR = np.array([1.0, 0.985, 0.955], np.float32)
_STEPS, _TALLEST = 6, 0.10  # of the march towards the light: steps, and the height where it ends
_NEARNESS = 0.30  # slopes that the half vector turns by from one side of the photograph to the other
_SOFTBOX = 0.16  # slopes that the light spreads over, for it is no point


@dataclass(frozen=True)
class Light:
    """azimuth, elevation: of the softbox, radians. strength, dome: irradiance of the softbox and of the dome."""

    azimuth: float
    elevation: float
    strength: float
    dome: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Light:
        """Lamps are fixed, but sag, age and see other surroundings from hour to hour."""
        azimuth, elevation, strength, dome = rng.uniform(-1, 1, 4)
        return cls(
            np.deg2rad(-128 + 7 * azimuth),
            np.deg2rad(52 + 3 * elevation),
            1.0 + 0.05 * strength,
            0.42 * (1 + 0.06 * dome),
        )

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector from the part to the light; x right, y down, z to the camera."""
        flat = np.cos(self.elevation)
        return float(flat * np.cos(self.azimuth)), float(flat * np.sin(self.azimuth)), float(np.sin(self.elevation))


def shade(surface: Surface, light: Light, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Linear RGB [side, side, 3] of the part on its belt; `surface` may be finer than that. `rng` places the belt."""
    relief = _shrink(np.maximum(surface.height, 0) * surface.inside, side)
    lit, open_sky = 1 - _shadow(relief, light), _openness(relief)
    metal = _metal(surface, light, _enlarge(lit, surface.side), _enlarge(open_sky, surface.side))
    metal = _shrink(metal * surface.inside, side)
    belt = _belt(light, lit, open_sky, rng) * (1 - _shrink(surface.inside, side))
    photo: NDArray[np.float32] = metal[:, :, None] * METAL_COLOUR + belt[:, :, None] * BELT_COLOUR
    if surface.dye is not None:
        dye = _shrink(surface.dye * surface.inside, side)[:, :, None]
        photo *= 1 + dye * (np.array(surface.colour, np.float32) / METAL_COLOUR - 1)
    return photo


def _metal(surface: Surface, light: Light, lit: Map, open_sky: Map) -> Map:
    side = surface.side
    p = cv2.Sobel(surface.height, cv2.CV_32F, 1, 0, ksize=3, scale=side / 8)
    q = cv2.Sobel(surface.height, cv2.CV_32F, 0, 1, ksize=3, scale=side / 8)
    lx, ly, lz = (np.float32(part) for part in light.direction)
    steepness = p * p
    steepness += q * q
    steepness += 1
    facing: Map = (lz - lx * p - ly * q) / np.sqrt(steepness)
    np.maximum(facing, 0, out=facing)

    # The lamp is near: the half vector turns a little from one side of the photograph to the other.
    axis = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    off_x = p + (lx / (1 + lz) - np.float32(_NEARNESS) * axis)[None, :]
    off_y = q + (ly / (1 + lz) - np.float32(_NEARNESS) * axis)[:, None]
    along = off_x * surface.tx
    along += off_y * surface.ty
    across = off_y * surface.tx
    across -= off_x * surface.ty
    across += surface.grain
    spread = np.float32(_SOFTBOX**2)
    exponent = along * along / (surface.along * surface.along + spread)
    exponent += across * across / (surface.across * surface.across + spread)
    np.negative(exponent, out=exponent)
    highlight = cv2.exp(exponent)

    # Metal mirrors the hall: brighter towards the lamp's side, dark towards the floor.
    hall = np.float32(1) - np.float32(0.55) * (lx * p + ly * q)
    np.clip(hall, 0.25, 1.9, out=hall)
    hall *= open_sky
    direct: Map = surface.albedo * facing
    direct += surface.gloss * highlight
    direct *= lit
    direct *= np.float32(light.strength)
    hall *= surface.albedo
    hall *= np.float32(light.dome)
    direct += hall
    return direct


def _belt(light: Light, lit: Map, open_sky: Map, rng: np.random.Generator) -> Map:
    side = lit.shape[0]
    belt: Map = np.float32(1) + np.float32(0.07) * texture.window(texture.weave(side), side, rng)
    belt *= np.float32(light.strength * light.direction[2]) * lit + np.float32(light.dome) * open_sky
    return belt


def _shadow(relief: Map, light: Light) -> Map:
    """0..1: how much of the softbox is hidden by the relief, by marching towards it."""
    side = relief.shape[0]
    x, y, z = light.direction
    flat = float(np.hypot(x, y))
    reach = _TALLEST * flat / z
    blocked = np.zeros_like(relief)
    for step in range(1, _STEPS + 1):
        length = reach * step / _STEPS
        moved = np.array([[1, 0, -x / flat * length * side], [0, 1, -y / flat * length * side]])
        higher = cast(Map, cv2.warpAffine(relief, moved, (side, side), borderMode=cv2.BORDER_REPLICATE))
        higher -= relief
        higher -= np.float32(length * z / flat)
        np.maximum(blocked, higher, out=blocked)
    return smooth(1 - ramp(blocked - np.float32(0.005), 0.01), side * 0.006)


def _openness(relief: Map) -> Map:
    """0..1: how much of the dome is in sight; less in holes and beside walls."""
    side = relief.shape[0]
    small = _shrink(relief, side // 2)
    wide = smooth(small, side * 0.022)
    wide += smooth(small, side * 0.008)
    wall: Map = _enlarge(wide, side) * np.float32(0.5) - relief
    np.maximum(wall, 0, out=wall)
    wall *= 28
    wall += 1
    return cast(Map, np.reciprocal(wall))


def _shrink(image: Map, side: int) -> Map:
    return image if image.shape[0] == side else cast(Map, cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))


def _enlarge(image: Map, side: int) -> Map:
    return image if image.shape[0] == side else cast(Map, cv2.resize(image, (side, side)))
