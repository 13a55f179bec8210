"""Iso-lines of functions whose lines are known."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from edgead.experiments.landscape.isolines import isolines, region


def test_a_circle_is_found_as_a_circle():
    x = np.linspace(-1, 1, 41)
    values = x[None] ** 2 + x[:, None] ** 2
    (line,) = isolines(x, x, values, 0.6**2)
    assert line[0] == line[-1] and len(set(line)) == len(line) - 1
    radii = np.hypot(*np.array(line).T)
    np.testing.assert_allclose(radii, 0.6, atol=2e-3)
    length = sum(math.dist(one, other) for one, other in pairwise(line))
    assert length == pytest.approx(2 * math.pi * 0.6, rel=5e-3)


def test_a_plane_gives_a_straight_line_from_border_to_border():
    x, y = np.linspace(0, 3, 4), np.linspace(0, 2, 3)
    (line,) = isolines(x, y, 2 * x[None] + y[:, None], 3.0)
    assert {line[0], line[-1]} == {(1.5, 0.0), (0.5, 2.0)}
    assert all(2 * px + py == pytest.approx(3.0) for px, py in line)


def test_a_saddle_is_connected_through_its_middle():
    axis = np.array([0.0, 1.0])
    for values, together in (([[3, 0], [0, 3]], True), ([[2, 0], [0, 1.5]], False)):
        lines = isolines(axis, axis, np.array(values, np.float64), 1.0)
        assert len(lines) == 2
        # Lines around the two high corners, or, where those are connected, around the two low ones.
        near = {
            min(((0, 0), (1, 0), (0, 1), (1, 1)), key=lambda c: sum(math.dist(c, p) for p in line)) for line in lines
        }
        assert near == ({(1, 0), (0, 1)} if together else {(0, 0), (1, 1)})


def test_two_hills_are_two_lines_and_no_level_is_none():
    x = np.linspace(-2, 2, 41)
    values = np.exp(-4 * ((x[None] - 1) ** 2 + x[:, None] ** 2)) + np.exp(-4 * ((x[None] + 1) ** 2 + x[:, None] ** 2))
    assert len(isolines(x, x, values, 0.5)) == 2
    assert isolines(x, x, values, 2.0) == []


def area(lines):
    """Of closed lines, by the even-odd rule for those that lie in each other."""
    total = 0.0
    for line in lines:
        total += sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairwise(line)) / 2
    return abs(total)


def test_a_region_is_closed_along_the_border():
    x = np.linspace(-1, 1, 81)
    ramp = np.repeat(x[None], 81, axis=0)
    for level, expected in ((0.5, 1.0), (-0.5, 3.0), (-2.0, 4.0)):
        lines = region(x, x, ramp, level)
        assert all(line[0] == line[-1] for line in lines)
        assert area(lines) == pytest.approx(expected, abs=1e-9)
    assert region(x, x, ramp, 1.5) == []
