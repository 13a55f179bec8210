from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from edgead.errors import DataError
from edgead.verdicts.areas import MaskFile, Polygon, look_at, parse_area

TRIANGLE = Polygon(((0.1, 0.1), (0.9, 0.2), (0.4, 0.8)))
# Corners that no pixel's centre shares a line of any kind with
share = st.floats(0.001, 0.999).map(lambda value: round(value, 6) + 1.37e-7)


@given(st.lists(st.tuples(share, share), min_size=3, max_size=9, unique=True), st.integers(1, 40), st.integers(1, 40))
def test_a_polygon_is_what_scikit_image_fills(points, height, width):
    try:
        polygon = Polygon(tuple(points))
    except DataError:
        assume(False)
    corners = [(y * height - 0.5, x * width - 0.5) for x, y in points]
    np.testing.assert_array_equal(polygon.inside(height, width), polygon2mask((height, width), corners))


@given(st.lists(st.tuples(share, share), min_size=3, max_size=7, unique=True))
def test_exactly_polygons_whose_sides_meet_are_refused(points):
    """Against the intersection of straight lines by solving two equations in two unknowns."""
    assume(np.linalg.svd(np.subtract(points, points[0]), compute_uv=False)[1] > 1e-3)  # not on one line
    sides = list(zip(points, points[1:] + points[:1], strict=True))
    crossing = False
    for first, (a, b) in enumerate(sides):
        for second in range(first + 2, len(sides) - (first == 0)):
            c, d = sides[second]
            ways = np.array([[b[0] - a[0], c[0] - d[0]], [b[1] - a[1], c[1] - d[1]]])
            assume(abs(np.linalg.det(ways)) > 1e-9)
            along = np.linalg.solve(ways, np.array(c) - np.array(a))
            assume((abs(along) > 1e-9).all() and (abs(along - 1) > 1e-9).all())
            crossing |= bool(((along > 0) & (along < 1)).all())
    if crossing:
        with pytest.raises(DataError, match=r"sides \d+ and \d+ of a polygon cross"):
            Polygon(tuple(points))
    else:
        Polygon(tuple(points))


def test_polygons_that_share_a_side_share_no_pixel():
    left = Polygon(((0, 0), (0.5, 0), (0.5, 1), (0, 1))).inside(9, 8)
    right = Polygon(((0.5, 0), (1, 0), (1, 1), (0.5, 1))).inside(9, 8)
    assert (left ^ right).all()
    assert left.sum() == right.sum() == 36


@pytest.mark.parametrize(
    ("points", "match"),
    [
        (((0, 0), (1, 1)), "2 corners"),
        (((0, 0), (1, 0), (1.2, 1)), r"corner 3 at \(1.2, 1\) is outside"),
        (((0, 0), (1, 0), (float("nan"), 1)), "corner 3"),
        (((0, 0), (1, 0), (0, 0), (1, 1)), "same corner twice"),
        (((0, 0), (0.5, 0.5), (1, 1)), "one straight line"),
        (((0, 0), (1, 1), (1, 0), (0, 1)), "sides 1 and 3 of a polygon cross"),
        (((0, 0), (1, 0), (0.5, 0), (0.5, 1)), "cross"),
        (((0, 0), (1, 0), (1, 1), (0.5, 0), (0, 1)), "cross"),
    ],
)
def test_bad_polygons_are_refused(points, match):
    with pytest.raises(DataError, match=match):
        Polygon(points)


def painted(path: Path, mask: np.ndarray) -> MaskFile:
    cv2.imwrite(str(path), mask.astype(np.uint8) * 255)
    return MaskFile(path)


def test_a_mask_is_sampled_where_a_polygon_is(tmp_path):
    fine = painted(tmp_path / "roi.png", TRIANGLE.inside(480, 640))
    coarse = fine.inside(48, 64, 640 / 480)
    assert (coarse != TRIANGLE.inside(48, 64)).mean() < 0.005
    assert coarse.any() and not coarse.all()


def test_a_mask_of_another_aspect_ratio_is_refused(tmp_path):
    mask = painted(tmp_path / "roi.png", np.ones((480, 640)))
    assert mask.inside(8, 8, 1280 / 961).all()
    with pytest.raises(DataError, match=r"640 x 480 pixels has another aspect ratio.*roi\.png"):
        look_at([mask], [], (8, 8), (1080, 1920))


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_mask_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "roi.png").write_bytes(content)
    with pytest.raises(DataError, match=r"roi\.png"):
        look_at([MaskFile(tmp_path / "roi.png")], [], (8, 8), (8, 8))


def test_areas_are_united_and_ignored_ones_taken_out(tmp_path):
    other = painted(tmp_path / "roi.png", np.eye(20))
    hole = Polygon(((0.3, 0.3), (0.5, 0.3), (0.5, 0.5)))
    seen = look_at([TRIANGLE, other], [hole], (20, 20), (100, 100))
    each = [area.inside(20, 20, 1.0) for area in (TRIANGLE, other, hole)]
    np.testing.assert_array_equal(seen, (each[0] | each[1]) & ~each[2])
    np.testing.assert_array_equal(look_at([], [hole], (20, 20), (100, 100)), ~each[2])
    assert look_at([], [], (20, 20), (100, 100)).all()


def test_nothing_left_to_look_at_is_refused(tmp_path):
    everything = Polygon(((0, 0), (1, 0), (1, 1), (0, 1)))
    black = painted(tmp_path / "black.png", np.zeros((8, 8)))
    speck = Polygon(((0.51, 0.51), (0.52, 0.51), (0.51, 0.52)))
    for roi, ignore in (([TRIANGLE], [everything]), ([black], []), ([speck], [])):
        with pytest.raises(DataError, match="is left to look at"):
            look_at(roi, ignore, (8, 8), (8, 8))


def test_areas_are_read_from_words(tmp_path):
    assert parse_area("0.1,0.1 0.9,0.2 0.4,0.8") == parse_area("0.1,0.1; 0.9,0.2; 0.4,0.8") == TRIANGLE
    mask = painted(tmp_path / "r o i.png", np.ones((4, 4)))
    assert parse_area(str(mask.path)) == mask
    for text in ("missing.png", "", "0.1,0.1 0.9", "0.1,0.1,3 0.9,0.2,3 0.4,0.8,3"):
        with pytest.raises(DataError, match="neither a polygon nor an image file"):
            parse_area(text)
