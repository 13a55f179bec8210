"""Light: bumps are bright towards the lamp, walls throw shadows, holes are dark."""

import math

import numpy as np
import pytest

from edgead.synthetic.shading import Light, shade
from edgead.synthetic.surface import Pose, Surface

SIDE = 128
EAST, NORTH, WEST, SOUTH = (math.radians(angle) for angle in (0, -90, 180, 90))


def plane(height=0.06):
    """A matt plate that fills the photograph, with tool marks along x."""
    axis = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE - 0.5
    u, v = np.meshgrid(axis, axis)
    full = {name: np.full((SIDE, SIDE), value, np.float32) for name, value in VALUES.items()}
    return Surface(pose=Pose(), u=u, v=v, **{**full, "height": np.full_like(u, height)})


VALUES = {
    "height": 0,
    "inside": 1,
    "albedo": 0.3,
    "gloss": 0.2,
    "along": 0.4,
    "across": 0.4,
    "tx": 1,
    "ty": 0,
    "grain": 0,
}


def lit(surface, azimuth, elevation=52.0):
    light = Light(azimuth, math.radians(elevation), 1.0, 0.4)
    return shade(surface, light, SIDE, np.random.default_rng(0)).mean(axis=2)


def test_directions_are_unit_vectors_that_turn_clockwise_on_the_photograph():
    for azimuth, flat in ((EAST, (1, 0)), (NORTH, (0, -1)), (WEST, (-1, 0)), (SOUTH, (0, 1))):
        x, y, z = Light(azimuth, math.radians(60), 1, 1).direction
        assert (x, y, z) == pytest.approx((flat[0] / 2, flat[1] / 2, math.sqrt(3) / 2), abs=1e-6)


@pytest.mark.parametrize(
    ("azimuth", "bright", "dark"),
    [
        (EAST, (64, 74), (64, 53)),
        (WEST, (64, 53), (64, 74)),
        (NORTH, (53, 64), (74, 64)),
        (SOUTH, (74, 64), (53, 64)),
    ],
)
def test_a_bump_is_bright_towards_the_lamp_and_dark_away_from_it(azimuth, bright, dark):
    surface = plane()
    surface.height += 0.03 * np.exp(-(surface.u**2 + surface.v**2) / 0.08**2)
    picture = lit(surface, azimuth)
    assert picture[bright] > 1.3 * picture[dark]


def test_a_dent_looks_like_a_bump_lit_from_the_other_side():
    bump, dent = plane(), plane()
    hill = 0.01 * np.exp(-(bump.u**2 + bump.v**2) / 0.08**2)
    bump.height += hill
    dent.height -= hill
    picture = lit(dent, EAST)
    assert picture[64, 53] > 1.2 * picture[64, 74]
    assert lit(bump, EAST)[64, 74] > 1.2 * lit(bump, EAST)[64, 53]


def test_a_wall_throws_a_shadow_as_long_as_the_light_is_low():
    def reach(elevation):
        surface = plane()
        surface.inside[:, 64:] = 0  # metal on the left, the belt on the right
        belt = lit(surface, WEST, elevation)[64, 64:]
        return int((belt < 0.75 * belt[-10:].mean()).sum())

    high, low = reach(65), reach(40)
    assert high < low
    assert low == pytest.approx(0.06 / math.tan(math.radians(40)) * SIDE, abs=3)


def test_the_belt_in_a_hole_is_darker_than_in_the_open():
    surface = plane()
    surface.inside[:, :40] = 0
    hole = (surface.u - 0.25) ** 2 + surface.v**2 < 0.04**2
    surface.inside[hole] = 0
    picture = lit(surface, NORTH)
    assert picture[64, 96] < 0.7 * picture[40:88, 4:16].mean()


def test_tool_marks_spread_a_highlight_across_themselves():
    """The same rough plate shines towards a lamp that lies across its marks, and not towards one along them."""
    surface = plane()
    surface.along[:], surface.across[:] = 0.1, 0.6
    assert lit(surface, NORTH)[64, 64] > 1.15 * lit(surface, EAST)[64, 64]


def test_a_colour_covers_the_metal_and_not_the_belt():
    surface = plane()
    surface.inside[:, 64:] = 0
    plain = shade(surface, Light(NORTH, 0.9, 1, 0.4), SIDE, np.random.default_rng(0))
    surface.cover(np.ones((SIDE, SIDE), np.float32), (0.6, 0.3, 0.1))
    rusty = shade(surface, Light(NORTH, 0.9, 1, 0.4), SIDE, np.random.default_rng(0))
    red, _, blue = rusty[64, 20]
    assert red == pytest.approx(6 * blue, rel=0.01)
    assert np.array_equal(plain[:, 70:], rusty[:, 70:])
