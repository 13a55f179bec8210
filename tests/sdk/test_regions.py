"""Regions of a map in pixels of its frame, against OpenCV's connected components."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from edgead.regions import find_regions

levels = st.sampled_from([0.0, 0.25, 0.5, 1.0, -1.0])
maps = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=levels)


def by_opencv(anomaly_map, threshold, height, width):
    """{(box, area, peak)} in pixels of a frame of height x width: boxes as far as they touch, areas rounded."""
    mask = anomaly_map >= np.float32(threshold)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    down, across = height / mask.shape[0], width / mask.shape[1]
    found = []
    for label in range(1, count):
        left, top, wide, high, area = (int(value) for value in stats[label])
        x, y = int(left * across), int(top * down)
        right, bottom = int(np.ceil((left + wide) * across)), int(np.ceil((top + high) * down))
        box = (x, y, min(right, width) - x, min(bottom, height) - y)
        found.append((box, max(1, round(area * down * across)), float(anomaly_map[labels == label].max())))
    return sorted(found)


def listed(regions):
    return [(region.box, region.area, region.peak) for region in regions]


@settings(deadline=None)
@given(maps, levels, st.integers(1, 60), st.integers(1, 60))
def test_regions_are_those_of_opencv(anomaly_map, threshold, height, width):
    found = listed(find_regions(anomaly_map, threshold, height, width))
    assert sorted(found) == by_opencv(anomaly_map, threshold, height, width)
    assert [peak for *_, peak in found] == sorted((peak for *_, peak in found), reverse=True)


@pytest.mark.parametrize("size", [(1080, 1920), (256, 256), (100, 333)])
def test_regions_of_a_smooth_map(size):
    anomaly_map = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(256, 256)), 5).astype(np.float32)
    for share in (0.001, 0.05, 0.3):
        threshold = float(np.quantile(anomaly_map, 1 - share))
        found = listed(find_regions(anomaly_map, threshold, *size))
        assert found
        assert sorted(found) == by_opencv(anomaly_map, threshold, *size)


def test_a_map_below_the_threshold_has_none():
    assert find_regions(np.zeros((8, 8), np.float32), 0.5, 80, 80) == ()
