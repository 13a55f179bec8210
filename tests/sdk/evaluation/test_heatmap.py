"""The heat map over its image, against OpenCV's colours, interpolation and contours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from edgead.evaluation.heatmap import outline, overlay
from edgead.kernels import postprocess


def photo(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height, width):
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(height, width)), 3)
    return (noise / noise.std()).astype(np.float32)


def by_opencv(image, anomaly_map, low, high):
    height, width = image.shape[:2]
    heat = np.nan_to_num(np.clip((anomaly_map - low) / (high - low), 0, 1), nan=1.0)
    heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((heat * 255).round().astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    weight = (0.65 * np.minimum(1, 1.5 * heat))[:, :, None]
    return (image * (1 - weight) + colours * weight).round().astype(np.uint8)


@pytest.mark.parametrize("size", [(288, 288), (200, 333), (64, 48)])
@pytest.mark.parametrize("grid", [(32, 32), (64, 100), (256, 256)])
def test_the_overlay_is_that_of_opencv(size, grid):
    image, anomaly_map = photo(*size), smooth(*grid)
    anomaly_map[0, 0] = np.nan
    difference = np.abs(overlay(image, anomaly_map, 0.5, 2.0).astype(int) - by_opencv(image, anomaly_map, 0.5, 2.0))
    assert difference.max() <= 6  # a heat on the edge between two colours
    assert (difference > 1).mean() < 1e-3


@pytest.mark.parametrize(("side", "grid"), [(288, 32), (288, 96), (1000, 50)])
def test_the_outline_runs_along_the_contours_of_opencv(side, grid):
    """Everywhere within its width, and nowhere else."""
    mask = smooth(grid, grid) > 1
    drawn = outline(np.zeros((side, side, 3), np.uint8), mask, (255, 140, 0))
    line = drawn.any(axis=2)
    assert set(map(tuple, drawn.reshape(-1, 3).tolist())) == {(0, 0, 0), (255, 140, 0)}
    large = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    contour = cv2.drawContours(np.zeros((side, side), np.uint8), contours, -1, 1, 1) > 0
    assert (line | ~contour).all()
    reach = max(1, round(side / 270)) + 1
    assert not (line & ~ndimage.binary_dilation(contour, np.ones((3, 3)), iterations=reach)).any()


def test_a_mask_is_outlined_in_white_over_the_heat():
    image, anomaly_map = photo(120, 90), smooth(30, 30)
    plain = overlay(image, anomaly_map, 0, 2)
    both = overlay(image, anomaly_map, 0, 2, anomaly_map >= 1)
    changed = (both != plain).any(axis=2)
    assert changed.any() and (both[changed] == 255).all()
    assert np.array_equal(both, postprocess.overlay(image, anomaly_map, 0, 2, threshold=1.0))
    nothing = overlay(image, anomaly_map, 0, 2, np.zeros((5, 5), np.bool_))
    assert np.array_equal(nothing, plain)


def test_the_image_is_not_changed():
    image = photo(40, 40)
    before = image.copy()
    overlay(image, smooth(8, 8), 0, 1, smooth(8, 8) > 0)
    outline(image, smooth(8, 8) > 0, (1, 2, 3))
    assert np.array_equal(image, before)
