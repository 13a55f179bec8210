from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.morphology import area_opening

from edgead.errors import DataError
from edgead.verdicts import AreaLimit
from edgead.verdicts.area_limit import cut_small, require_room

maps = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=st.integers(0, 8).map(float))
)


@given(maps, st.lists(st.integers(1, 8).map(float), min_size=1, max_size=3), st.integers(1, 12))
def test_at_its_levels_it_is_the_area_opening(values, levels, pixels):
    kept = cut_small(values, levels, pixels)
    padded = np.pad(values.astype(np.uint8), 2)  # scikit-image takes no smaller ones
    opened = area_opening(padded, pixels, connectivity=2)[2:-2, 2:-2]
    for level in levels:
        np.testing.assert_array_equal(kept >= level, opened >= level)
    assert (kept <= values).all()
    if pixels == 1:
        assert kept is values


def test_a_value_that_is_cut_stays_as_high_as_it_may():
    values = np.float32([[0, 5, 0], [0, 0, 0]])
    kept = cut_small(values, (3.0,), 2)
    assert kept[0, 1] == np.nextafter(np.float32(3), np.float32(0))
    assert values[0, 1] == 5


def test_pixels_of_the_frame_and_shares_become_pixels_of_the_map():
    assert AreaLimit(pixels=64).on_map((32, 32), (256, 256)) == 1
    assert AreaLimit(pixels=300).on_map((256, 256), (1080, 1920)) == pytest.approx(300 * 256**2 / (1080 * 1920))
    assert AreaLimit(share=0.01).on_map((10, 20), (1080, 1920)) == 2


@given(hnp.arrays(np.bool_, (6, 7)), st.integers(1, 20))
def test_a_limit_that_nothing_can_reach_is_refused(inside, pixels):
    """Exactly where even a map that is as high as can be, wherever one looks, would be cut away."""
    kept = cut_small(inside.astype(np.float32), (1.0,), pixels)
    if kept.max() >= 1:
        require_room(inside, pixels)
    else:
        with pytest.raises(DataError, match="minimum area"):
            require_room(inside, pixels)


def test_limits_are_read_from_words():
    assert AreaLimit.parse("50") == AreaLimit(pixels=50)
    assert AreaLimit.parse("0.5%") == AreaLimit(share=0.005)
    for text in ("", "%", "x", "-3", "0", "nan", "inf", "101%"):
        with pytest.raises(DataError, match="no least area"):
            AreaLimit.parse(text)
