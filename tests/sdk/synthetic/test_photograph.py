"""Photographs: the same pixels for the same seed, masks that are the change, light as a camera takes it."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgead.errors import DataError
from edgead.synthetic import DEFECTS, photo

SEEDS = st.integers(0, 2**63 - 1)


def difference(a, b):
    return np.abs(a.astype(int) - b).max(axis=2)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    image, mask = photo((3, 1, 4), 128, "dent")
    again, again_mask = photo((3, 1, 4), 128, "dent")
    other, _ = photo((3, 1, 5), 128, "dent")
    assert image.tobytes() == again.tobytes()
    assert mask.tobytes() == again_mask.tobytes()
    assert difference(image, other).mean() > 2


@pytest.mark.parametrize("size", [64, 101, 256, 420])
def test_any_size_is_rendered(size):
    image, mask = photo(0, size, "scratch")
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert mask.shape == (size, size)
    assert mask.dtype == np.bool_


def test_a_good_part_has_an_empty_mask():
    image, mask = photo(7, 128)
    named, named_mask = photo(7, 128, "good")
    assert not mask.any()
    assert not named_mask.any()
    assert np.array_equal(image, named)


@pytest.mark.parametrize("defect", DEFECTS)
@settings(max_examples=6, deadline=None)
@given(seed=SEEDS)
def test_the_mask_is_where_the_photograph_differs_from_the_one_without_the_defect(defect, seed):
    good, _ = photo(seed, 128)
    bad, mask = photo(seed, 128, defect)
    changed = difference(good, bad)
    assert 0.0007 <= mask.mean() <= 0.06
    assert changed[mask].mean() > 12  # of 255: a person sees it
    assert np.percentile(changed[mask], 90) > 20
    assert changed[~mask].mean() < 0.15
    assert np.percentile(changed[~mask], 99.5) < 9


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_a_photograph_is_exposed_well(seed):
    image, _ = photo(seed, 128)
    assert (image == 255).mean() < 0.02
    assert (image == 0).mean() < 0.001
    assert 30 < image.std() < 80
    assert 90 < image.mean() < 160


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_the_part_lies_in_the_middle_and_nearly_straight(seed):
    image, _ = photo(seed, 128)
    metal = (image.min(axis=2) > 105).astype(np.uint8)
    metal = cv2.morphologyEx(metal, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    (x, y), (width, height), angle = cv2.minAreaRect(cv2.findNonZero(metal))
    assert abs(x - 63.5) < 5
    assert abs(y - 63.5) < 5
    assert 90 < min(width, height) <= max(width, height) < 112
    assert min(angle % 90, 90 - angle % 90) < 5


def test_the_part_throws_its_shadow_away_from_the_lamp():
    belt = np.mean([photo(seed, 128)[0].mean(axis=2) for seed in range(12)], axis=0)
    below, above = belt[116:120, 40:88].mean(), belt[4:8, 40:88].mean()
    assert below < 0.9 * above


def test_a_larger_photograph_of_the_same_seed_shows_the_same_part():
    small, _ = photo(5, 128)
    large, _ = photo(5, 512)
    shrunk = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    assert difference(small, shrunk).mean() < 8
    other, _ = photo(6, 512)
    assert difference(small, cv2.resize(other, (128, 128), interpolation=cv2.INTER_AREA)).mean() > 12


@pytest.mark.parametrize("size", [-1, 0, 63, 4096])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(DataError, match=r"no size for a photograph.*give 64 to 2048"):
        photo(0, size)


def test_an_unknown_defect_is_refused_with_the_known_ones():
    with pytest.raises(DataError, match=r"no defect 'rust'.*choose one of scratch, dent"):
        photo(0, 128, "rust")


def test_a_defect_that_the_light_hides_is_drawn_anew(monkeypatch):
    draws = []

    def shy(surface, rng):
        draws.append(rng.random())
        if len(draws) == 3:
            surface.height[40:60, 40:60] += 0.01

    monkeypatch.setitem(DEFECTS, "shy", shy)
    _, mask = photo(0, 128, "shy")
    assert mask.any()
    assert len(set(draws)) == 3


def test_a_defect_that_never_shows_is_an_error_and_not_a_good_photograph(monkeypatch):
    monkeypatch.setitem(DEFECTS, "ghost", lambda surface, rng: None)
    with pytest.raises(DataError, match="no visible ghost in 10 attempts, seed 4"):
        photo(4, 64, "ghost")


def test_rendering_needs_numpy_and_opencv_alone():
    program = """
import sys, edgead
assert "edgead.synthetic" not in sys.modules
import edgead.synthetic
edgead.synthetic.photo(0, 64)
print(*{"torch", "onnx", "scipy", "sklearn", "PIL", "matplotlib", "openvino"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
