"""Painted defects: seen, where the mask says, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.synthetic.painted import SMALLEST, VISIBLE, paint

SIDES = st.integers(16, 80)


@given(st.integers(0, 2**32 - 1), SIDES, SIDES, st.sampled_from(["noise", "flat", "black", "white", "steps"]))
def test_a_defect_is_visible_exactly_where_the_mask_says(seed, height, width, kind):
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), {"black": 0, "white": 255}.get(kind, 90), np.uint8)
    if kind == "noise":
        image = random.integers(0, 256, image.shape, np.uint8)
    elif kind == "steps":
        image[:, width // 2 :] = 160
    before = image.copy()
    painted, mask = paint(image, random)
    assert (image == before).all()
    assert painted.shape == image.shape and painted.dtype == np.uint8
    assert mask.shape == (height, width) and mask.dtype == bool
    assert SMALLEST <= np.count_nonzero(mask) < 0.5 * mask.size
    change = np.abs(painted.astype(int) - image).max(axis=2)
    assert (change[mask] >= VISIBLE).all() and (change[~mask] < VISIBLE).all()


def test_the_same_seed_paints_the_same(parts):
    image = load_images(read_dataset(parts).train, 64, 64)[0]
    one, two, other = (paint(image, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (one[0] == two[0]).all() and (one[1] == two[1]).all()
    assert (one[0] != other[0]).any()


@pytest.mark.parametrize("seed", range(3))
def test_most_of_the_part_is_left_as_it_was(parts, seed):
    images = load_images(read_dataset(parts).train, 64, 64)[:10]
    random = np.random.default_rng(seed)
    shares = [paint(image, random)[1].mean() for image in images]
    assert 0.001 < np.mean(shares) < 0.1
