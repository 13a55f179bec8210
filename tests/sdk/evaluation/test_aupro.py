"""AUPRO against a slow one: every pixel value a threshold, regions by SciPy, the curve walked point by point."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from edgead.errors import DataError
from edgead.evaluation.aupro import aupro


def slow_aupro(masks, maps, limit):
    regions = []
    for mask, anomaly_map in zip(masks, maps, strict=True):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [anomaly_map[labels == label] for label in range(1, count + 1)]
    free = maps[~masks]
    points = [(0.0, 0.0)]
    for threshold in sorted(np.unique(maps), reverse=True):
        overlap = sum((region >= threshold).mean() for region in regions) / len(regions)
        points.append(((free >= threshold).mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
pairs = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.bool_, shape), hnp.arrays(np.float32, shape, elements=st.integers(-4, 4).map(float))
    )
).filter(lambda pair: pair[0].any() and not pair[0].all())


@given(pairs, st.sampled_from([0.05, 0.3, 0.77, 1.0]))
def test_it_is_the_slow_one(pair, limit):
    masks, maps = pair
    assert aupro(masks, maps, limit) == pytest.approx(slow_aupro(masks, maps, limit), abs=1e-9)


def test_it_is_the_slow_one_on_smooth_maps():
    random = np.random.default_rng(3)
    masks = ndimage.gaussian_filter(random.normal(size=(4, 40, 40)), (0, 3, 3)) > 0.12
    maps = (ndimage.gaussian_filter(random.normal(size=masks.shape), (0, 2, 2)) + 0.1 * masks).astype(np.float32)
    assert aupro(masks, maps) == pytest.approx(slow_aupro(masks, maps, 0.3), abs=1e-9)


def test_perfect_maps_give_one_and_diagonal_neighbours_are_one_region():
    masks = np.zeros((1, 6, 6), bool)
    masks[0, 1, 1] = masks[0, 2, 2] = True
    assert aupro(masks, masks.astype(np.float32)) == pytest.approx(1.0)
    # One region of two pixels, one of them found, beside a larger region that is not.
    masks[0, 4:, 3:] = True
    maps = np.zeros((1, 6, 6), np.float32)
    maps[0, 1, 1] = 1.0
    assert aupro(masks, maps) == pytest.approx(slow_aupro(masks, maps, 0.3))


def test_nothing_to_measure_is_nan():
    maps = np.zeros((1, 4, 4), np.float32)
    assert math.isnan(aupro(np.zeros((1, 4, 4), bool), maps))
    assert math.isnan(aupro(np.ones((1, 4, 4), bool), maps))


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.5])
def test_impossible_limits_are_refused(limit):
    with pytest.raises(DataError, match="limit"):
        aupro(np.ones((1, 4, 4), bool), np.zeros((1, 4, 4), np.float32), limit)


def test_shapes_and_numbers_are_checked():
    masks, maps = np.ones((1, 4, 4), bool), np.zeros((1, 4, 4), np.float32)
    with pytest.raises(DataError, match="masks for"):
        aupro(masks, maps[:, :2])
    maps[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="not a number"):
        aupro(masks, maps)
