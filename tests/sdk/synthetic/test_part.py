"""The part: its area against geometry, and spots that are really free."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgead.synthetic import part
from edgead.synthetic.marking import LEFT, TOP
from edgead.synthetic.surface import Pose, dots, ramp

STRAIGHT = Pose()


def build(pose=STRAIGHT, side=256, seed=0):
    return part.build(side, pose, np.random.default_rng(seed))


BLANK = build(side=512)


@settings(max_examples=6, deadline=None)
@given(angle=st.floats(-0.1, 0.1), x=st.floats(-0.02, 0.02), y=st.floats(-0.02, 0.02), scale=st.floats(0.8, 1.15))
def test_the_area_of_the_metal_is_that_of_the_drawing_in_every_pose(angle, x, y, scale):
    surface = build(Pose(angle, x, y, scale))
    square = 4 * part.PLATE**2 - (4 - math.pi) * part.CORNER**2
    holes = math.pi * (part.BORE**2 + 4 * part.HOLE**2)
    assert surface.inside.mean() == pytest.approx((square - holes) * scale**2, rel=0.02)


def test_a_pose_takes_points_of_the_part_to_their_pixels():
    pose = Pose(0.05, 0.01, -0.02, 1.1)
    surface = build(pose)
    for hole in [(part.HOLE_AT, part.HOLE_AT), (-part.HOLE_AT, part.HOLE_AT)]:
        ((column, row),) = np.rint(pose.pixels([hole], 256)).astype(int)
        assert surface.inside[row, column] == 0
        assert surface.distance(hole)[row, column] < 1 / 256
        assert np.unravel_index(surface.distance(hole).argmin(), (256, 256)) == (row, column)


def test_the_maps_of_a_good_part_are_sound():
    surface = build(Pose(0.03, 0, 0, 1.12))
    for name in ("u", "v", "height", "inside", "albedo", "gloss", "along", "across", "tx", "ty", "grain"):
        values = getattr(surface, name)
        assert values.dtype == np.float32, name
        assert values.shape == (256, 256), name
        assert np.isfinite(values).all(), name
    assert 0 <= surface.inside.min() <= surface.inside.max() <= 1
    assert surface.albedo.min() > 0.05
    assert surface.along.min() > 0.1
    metal = surface.inside == 1
    lengths = np.hypot(surface.tx, surface.ty)[metal]
    assert np.percentile(np.abs(lengths - 1), 95) < 0.01


def test_parts_differ_by_their_tolerances():
    one, other = build(seed=1), build(seed=2)
    apart = np.abs(one.height - other.height)
    assert 0 < apart[one.inside > 0.99].mean() < 0.002


@given(seed=st.integers(0, 2**32), clear=st.floats(0.007, 0.02))  # from 3.5 pixels: an edge takes up to two
@settings(max_examples=40, deadline=None)
def test_a_spot_is_level_metal_for_as_far_as_was_asked(seed, clear):
    surface = BLANK
    u, v = part.spot(np.random.default_rng(seed), clear)
    disc = surface.distance((u, v)) < clear - 2 / surface.side
    assert (surface.inside[disc] == 1).all()
    if not (v > TOP - 0.03 and abs(u) < -LEFT + 0.03):  # the part number is shallow, and may be hit
        assert np.ptp(surface.height[disc]) < 0.004


def test_ramp_falls_from_one_to_zero_over_its_width():
    distance = np.array([[-1, -0.5, -0.25, 0, 0.25, 0.5, 1]], np.float32)
    assert ramp(distance, 1.0).tolist() == [[1, 1, 0.75, 0.5, 0.25, 0, 0]]


@pytest.mark.parametrize("pixels", [2.0, 3.0, 6.0])
def test_a_stroke_is_as_wide_as_was_asked(pixels):
    start, end = (-0.20, -0.10), (0.15, 0.05)
    drawn = BLANK.stroke([start, (0.0, -0.0143), end], [pixels / BLANK.side] * 3)
    assert drawn.sum() == pytest.approx(math.dist(start, end) * BLANK.side * pixels, rel=0.12)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_dots_have_the_area_of_their_circles():
    drawn = dots(64, np.array([[20.25, 20.5], [44.0, 40.75]]), np.array([6.0, 9.0]))
    assert drawn.sum() == pytest.approx(math.pi * (36 + 81), rel=0.08)
    columns, rows = np.meshgrid(np.arange(32), np.arange(64))
    left = drawn[:, :32]
    assert (left * columns).sum() / left.sum() == pytest.approx(20.25, abs=0.2)
    assert (left * rows).sum() / left.sum() == pytest.approx(20.5, abs=0.2)
