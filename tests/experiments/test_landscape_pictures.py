"""The pictures of surfaces that are known, read back from their SVG."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from edgead.experiments.landscape.pictures import contour, surface
from edgead.experiments.landscape.plane import Landscape, Sharpness
from edgead.experiments.landscape.report import Album, Portrait, write_album
from edgead.experiments.landscape.scale import Scale, number


def bowl(scale, offset=0.01, side=21):
    axis = np.linspace(-1, 1, side)
    return Landscape(axis, offset + scale * (axis[None] ** 2 + axis[:, None] ** 2), Sharpness((1.0, 2.0), (3.0, 5.0)))


def test_landscapes_of_one_picture_share_levels_and_colours():
    flat, steep = bowl(0.1), bowl(10.0)
    scale = Scale.of([flat, steep])
    assert (scale.low, scale.high) == (0.01, pytest.approx(20.01))
    assert list(scale.levels) == sorted(set(scale.levels))
    ratios = np.array(scale.levels[1:]) / np.array(scale.levels[:-1])
    assert len(scale.levels) == 12 and ratios == pytest.approx(np.full(11, ratios.mean()), rel=0.1)
    bars = [re.findall(r'<rect x="400" .*?fill="(.*?)"', contour("a", one, scale)) for one in (flat, steep)]
    assert bars[0] == bars[1] and len(set(bars[0])) == 13
    assert contour("a", steep, scale).count('"isoline"') > contour("a", flat, scale).count('"isoline"') >= 5


def test_iso_lines_of_a_bowl_are_drawn_as_circles_of_the_right_size():
    """loss = 0.01 + x^2 + y^2, so a level has the radius sqrt(level - 0.01), in a square of 322 units for 2 steps."""
    one = bowl(1.0, side=41)
    scale = Scale.of([one])
    root = ElementTree.fromstring(contour("bowl", one, scale))
    radii = []
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        if path.get("class") == "isoline":
            spots = np.array([[float(v) for v in pair.split()] for pair in path.get("d")[1:].split("L")])
            radii.append(np.hypot(spots[:, 0] - (58 + 161), spots[:, 1] - (14 + 161)).mean() / 161)
    for level in (level for level in scale.levels if 0.02 < level < 1):
        assert min(abs(radius - math.sqrt(level - 0.01)) for radius in radii) < 0.01


def test_a_surface_is_painted_from_far_to_near_and_stays_in_its_frame():
    picture = surface("s", bowl(1.0), Scale.of([bowl(1.0)]))
    root = ElementTree.fromstring(picture)
    faces = [face.get("points") for face in root.iter("{http://www.w3.org/2000/svg}polygon")]
    assert len(faces) == 400
    places = np.array([[float(v) for v in re.split("[ ,]", face)] for face in faces]).reshape(400, 4, 2)
    assert places.min() >= 0 and places[..., 0].max() <= 470 and places[..., 1].max() <= 388
    # On a flat surface nearer is lower on the page.
    flat = ElementTree.fromstring(surface("s", bowl(0.0), Scale.of([bowl(0.0), bowl(1.0)])))
    low = [
        float(face.get("points").split(" ")[0].split(",")[1]) for face in flat.iter() if face.tag.endswith("polygon")
    ]
    assert low == sorted(low)


def test_losses_that_are_not_finite_are_drawn_as_the_highest():
    one = bowl(1.0)
    one.losses[0, 0], one.losses[0, 1] = np.inf, np.nan
    scale = Scale.of([one])
    assert math.isfinite(scale.high) and scale.shares(one.losses)[0, :2].tolist() == [1, 1]
    for picture in (contour("a", one, scale), surface("a", one, scale)):
        assert "nan" not in picture and "inf" not in picture
    assert one.to_json()["losses"][0][:2] == [None, None]


def test_losses_below_zero_have_an_even_scale():
    scale = Scale.of([bowl(1.0, offset=-1.0)])
    assert np.ptp(np.diff(scale.levels)) < 0.03
    assert scale.shares(np.array([-1.0, 0.0, 1.0])) == pytest.approx([0, 0.5, 1])


def test_a_landscape_without_a_slope_is_drawn():
    one = bowl(0.0)
    scale = Scale.of([one])
    assert scale.levels == ()
    ElementTree.fromstring(contour("flat", one, scale))
    ElementTree.fromstring(surface("flat", one, scale))


@pytest.mark.parametrize(
    ("value", "words"), [(0.00391, "0.0039"), (12.3, "12"), (310.9, "311"), (-0.5, "−0.5"), (-714.2, "−714"), (0, "0")]
)
def test_numbers_are_short(value, words):
    assert number(value) == words


def test_names_are_text_and_files_do_not_collide(tmp_path):
    portraits = tuple(Portrait(name, "L2", 8, 1, "L2", bowl(1.0, side=5)) for name in ("a/<b>", "a-<b>", "c"))
    write_album(Album(portraits, "<data>", 3, 0), tmp_path)
    assert len(list(tmp_path.glob("contour-*.svg"))) == len(list(tmp_path.glob("surface-*.svg"))) == 3
    html = (tmp_path / "landscape.html").read_text()
    assert "<b>" not in html and "&lt;b&gt;" in html and "<data>" not in html
