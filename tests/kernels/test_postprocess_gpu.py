"""Regions and overlays out of the CUDA library, bit for bit the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from edgead.errors import KernelError
from edgead.kernels.frame import frame_struct
from edgead.kernels.postprocess import (
    REGION,
    find_regions,
    find_regions_bytes,
    find_regions_on_device,
    overlay,
    overlay_on_device,
)

SHAPES = [(1, 1), (1, 70), (70, 1), (8, 32), (9, 33), (31, 64), (64, 64), (50, 97)]


def regions(device, anomaly_map, threshold, capacity=None):
    """What the device finds, and how many it counts."""
    height, width = anomaly_map.shape
    capacity = (height + 1) // 2 * ((width + 1) // 2) if capacity is None else capacity
    target = device.put(np.full(capacity + 1, -7, np.int32).repeat(6).view(REGION))
    count = device.put(np.full(1, -1, np.int32))
    workspace = device.put(np.full(find_regions_bytes(height, width), 0x5A, np.uint8))
    find_regions_on_device(device.put(anomaly_map), height, width, threshold, target, capacity, count, workspace)
    (counted,) = device.get(count)
    found = device.get(target)
    written = min(int(counted), capacity)
    assert (found[written:].view(np.int32) == -7).all()
    return found[:written], int(counted)


def same(device, anomaly_map, threshold):
    anomaly_map = np.ascontiguousarray(anomaly_map, np.float32)
    found, counted = regions(device, anomaly_map, threshold)
    expected = find_regions(anomaly_map, threshold)
    return counted == len(expected) and found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_regions_of_noise(device, shape):
    random = np.random.default_rng(0)
    for smooth, share in ((0, 0.1), (0, 0.4), (0, 0.6), (0, 0.9), (1, 0.3), (1, 0.7), (4, 0.5)):
        anomaly_map = ndimage.gaussian_filter(random.normal(size=shape), smooth).astype(np.float32)
        assert same(device, anomaly_map, float(np.quantile(anomaly_map, 1 - share)))


def test_regions_that_wind(device):
    rows, columns = np.indices((35, 70))
    radius, angle = np.hypot(rows - 17, columns - 35), np.arctan2(rows - 17, columns - 35)
    ring, winding = radius % 6 < 2, (radius - 3 * angle / np.pi) % 6 < 2
    comb = (columns % 2 == 0) | (rows == 34)
    snake = (rows % 2 == 0) | ((rows % 4 == 1) & (columns == 69)) | ((rows % 4 == 3) & (columns == 0))
    for drawn in (ring, winding, comb, snake, (rows + columns) % 2, (rows % 2 == 0) & (columns % 2 == 0), rows >= 0):
        for turned in (drawn, drawn[::-1], drawn[:, ::-1], np.transpose(drawn)):
            assert same(device, turned, 1.0)
            assert same(device, 1 - np.asarray(turned, np.float32), 1.0)


def test_values_that_are_no_numbers(device):
    random = np.random.default_rng(1)
    values = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1, -2, 1e-42], np.float32)
    for threshold in (0.0, -1.0, -np.inf, np.inf, np.nan, 1e-42):
        assert same(device, random.choice(values, (33, 41)), threshold)


def test_more_regions_than_there_is_room_for(device):
    anomaly_map = np.random.default_rng(2).normal(size=(60, 80)).astype(np.float32)
    expected = find_regions(anomaly_map, 1.0)
    assert len(expected) > 100
    for capacity in (0, 1, 50, len(expected)):
        found, counted = regions(device, anomaly_map, 1.0, capacity)
        assert counted == len(expected)
        assert found.tobytes() == expected[:capacity].tobytes()


def test_a_map_with_more_tiles_than_one_block_adds_up_at_once(device):
    anomaly_map = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(33, 2100)), 1).astype(np.float32)
    assert same(device, anomaly_map, float(np.quantile(anomaly_map, 0.7)))


def shown(device, image, layout, anomaly_map, threshold, bgr=False, shift=0):
    """The overlay by the device; `shift` bytes lie before the picture."""
    if layout == "nv12":
        height, width = image.shape[0] // 3 * 2, image.shape[1]
        plane, chroma = device.put(image[:height]), device.put(image[height:])
        frame = frame_struct(layout, height, width, plane, width, chroma, width)
    else:
        height, width = image.shape[:2]
        frame = frame_struct(layout, height, width, device.put(image), image[0].size)
    out = device.put(np.full(shift + height * width * 3 + 5, 77, np.uint8))
    overlay_on_device(
        frame,
        device.put(anomaly_map),
        *anomaly_map.shape,
        -0.5,
        0.75,
        out + shift,
        threshold=threshold,
        line=(255, 140, 0),
        bgr=bgr,
    )
    got = device.get(out)
    assert (got[:shift] == 77).all() and (got[-5:] == 77).all()
    return got[shift:-5].reshape(height, width, 3)


@pytest.mark.parametrize("layout", ["bgr", "rgb", "gray", "nv12", "yuyv"])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 10), (30, 64), (66, 130)])
def test_overlays(device, layout, height, width):
    random = np.random.default_rng(4)
    shape = {"gray": (height, width), "nv12": (height * 3 // 2, width), "yuyv": (height, width, 2)}
    image = random.integers(0, 256, shape.get(layout, (height, width, 3)), np.uint8)
    for index, sides in enumerate([(1, 1), (3, 5), (16, 16), (70, 90)]):
        anomaly_map = random.normal(size=sides).astype(np.float32)
        anomaly_map.ravel()[::7] = np.nan
        for threshold in (None, 0.5):
            expected = overlay(
                image,
                anomaly_map,
                -0.5,
                0.75,
                threshold=threshold,
                line=(255, 140, 0),
                layout=layout,
                bgr=index % 2 > 0,
            )
            got = shown(device, image, layout, anomaly_map, threshold, bgr=index % 2 > 0, shift=index)
            assert np.array_equal(got, expected)


def test_odd_sides(device):
    random = np.random.default_rng(5)
    for height, width in ((1, 1), (3, 5), (7, 33), (9, 127)):
        image = random.integers(0, 256, (height, width, 3), np.uint8)
        anomaly_map = random.normal(size=(4, 6)).astype(np.float32)
        expected = overlay(image, anomaly_map, -0.5, 0.75, threshold=0.3, line=(255, 140, 0))
        assert np.array_equal(shown(device, image, "rgb", anomaly_map, 0.3), expected)


def test_what_is_refused(device):
    assert find_regions_bytes(0, 5) == find_regions_bytes(5, 4097) == 0
    with pytest.raises(KernelError, match="a side is"):
        find_regions_on_device(0, 5, 4097, 0.0, 0, 0, 0, 0)
    with pytest.raises(KernelError, match="count is negative"):
        find_regions_on_device(0, 5, 5, 0.0, 0, -1, 0, 0)
    with pytest.raises(KernelError, match="a side is"):
        overlay_on_device(frame_struct("rgb", 2, 2, 8, 6), 0, 0, 1, 0, 1, 0)
    with pytest.raises(KernelError, match="planes do not fit it"):
        overlay_on_device(frame_struct("yuyv", 2, 3, 8, 6), 0, 1, 1, 0, 1, 0)
