"""From frames to images on the device, bit for bit the CPU's: emulated, and where there is a CUDA device."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.errors import KernelError
from edgead.kernels import preprocess
from edgead.kernels.frame import frame_struct
from edgead.kernels.preprocess import device_tables_bytes, fill_device_tables, preprocess_on_device

BYTES = {"bgr": 3, "rgb": 3, "gray": 1, "nv12": 1, "yuyv": 2}  # of a pixel in the first plane
UNTOUCHED = 0xA5


def planes_of(layout, height, width, seed=0):
    """uint8 [h, row bytes] and, of nv12, [h / 2, w]"""
    random = np.random.default_rng(seed)
    shapes = [(height, width * BYTES[layout]), (height // 2, width)]
    return [random.integers(0, 256, shape, np.uint8) for shape in shapes[: 1 + (layout == "nv12")]]


def on_cpu(layout, planes, size, area):
    if layout == "nv12":
        return preprocess(tuple(planes), *size, layout=layout, area=area)
    frame = planes[0].reshape(len(planes[0]), -1, BYTES[layout])
    return preprocess(frame, *size, layout=layout, area=area)


def on_device(device, layout, planes, size, area, gap=0, offset=0):
    """Rows lie `gap` bytes apart, from `offset` bytes after a multiple of 16 on."""
    places = []
    for plane in planes:
        rows = np.pad(plane, ((0, 0), (0, gap)), constant_values=UNTOUCHED).ravel()
        buffer = np.concatenate([np.full(offset, UNTOUCHED, np.uint8), rows[: len(rows) - gap]])
        places += [device.put(buffer) + offset, plane.shape[1] + gap]
    frame = frame_struct(layout, len(planes[0]), planes[0].shape[1] // BYTES[layout], *places)
    target = device.put(np.full((*size, 3), UNTOUCHED, np.uint8))
    across, down = area[2:] if area else (frame.width, frame.height)
    tables = device.put(np.full(device_tables_bytes(down, across, *size), UNTOUCHED, np.uint8))
    fill_device_tables(tables, down, across, *size)
    preprocess_on_device(frame, area, tables, target, *size)
    return device.get(target)


@pytest.mark.parametrize("layout", BYTES)
@pytest.mark.parametrize("size", [(8, 8), (5, 150), (70, 3)])
@pytest.mark.parametrize(("width", "gap", "offset"), [(92, 0, 0), (94, 2, 4), (94, 4, 8), (94, 1, 0), (92, 0, 1)])
def test_the_device_gives_the_cpus_bits(device, layout, size, width, gap, offset):
    """The first three in words of 4 bytes, in most layouts; areas in the frame's corners and inside."""
    planes = planes_of(layout, 66, width)
    for area in (None, (1, 1, width - 1, 65), (41, 17, 1, 1), (width - 4, 60, 4, 6), (33, 0, 10, 66)):
        expected = on_cpu(layout, planes, size, area)
        assert np.array_equal(on_device(device, layout, planes, size, area, gap, offset), expected)


@pytest.mark.parametrize("layout", BYTES)
@pytest.mark.parametrize("shape", [(2, 2), (2, 6), (20, 770), (4, 2400)])
def test_any_width_is_read_to_its_end(device, layout, shape):
    """Widths that are no multiple of 4, and more columns than a block has room for."""
    planes = planes_of(layout, *shape, seed=1)
    for size in ((3, 2), (2, 130)):
        assert np.array_equal(on_device(device, layout, planes, size, None), on_cpu(layout, planes, size, None))


@pytest.mark.parametrize("layout", ["bgr", "rgb", "gray"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3), (31, 33)])
def test_odd_sides_where_pixels_share_nothing(device, layout, shape):
    planes = planes_of(layout, *shape, seed=2)
    assert np.array_equal(on_device(device, layout, planes, (4, 6), None), on_cpu(layout, planes, (4, 6), None))


@pytest.mark.gpu
@pytest.mark.parametrize("layout", BYTES)
@pytest.mark.parametrize("shape", [(1080, 1920), (2160, 3840), (718, 1270)])
@pytest.mark.parametrize("size", [(256, 256), (48, 64), (900, 1400)])
def test_large_frames(driver, layout, shape, size):
    from .conftest import Gpu

    planes = planes_of(layout, *shape, seed=3)
    for area in (None, (101, 77, 611, 419)):
        assert np.array_equal(on_device(Gpu(driver), layout, planes, size, area), on_cpu(layout, planes, size, area))


def test_tables_are_made_once_for_areas_of_a_size(device):
    planes = planes_of("bgr", 40, 50)
    tables = device.put(np.zeros(device_tables_bytes(20, 30, 6, 7), np.uint8))
    fill_device_tables(tables, 20, 30, 6, 7)
    frame = frame_struct("bgr", 40, 50, device.put(planes[0]), 150)
    for place in ((0, 0), (20, 20), (13, 7)):
        target = device.put(np.zeros((6, 7, 3), np.uint8))
        preprocess_on_device(frame, (*place, 30, 20), tables, target, 6, 7)
        assert np.array_equal(device.get(target), on_cpu("bgr", planes, (6, 7), (*place, 30, 20)))


def test_what_is_no_frame_or_size_is_refused(device):
    frame = frame_struct("nv12", 4, 4, 1 << 12, 4)  # without chroma
    with pytest.raises(KernelError, match="layout"):
        preprocess_on_device(frame, None, 1 << 13, 1 << 14, 2, 2)
    with pytest.raises(KernelError, match="side"):
        preprocess_on_device(frame_struct("gray", 4, 4, 1 << 12, 4), None, 1 << 13, 1 << 14, 0, 2)
    with pytest.raises(KernelError, match="leaves the frame"):
        preprocess_on_device(frame_struct("gray", 4, 4, 1 << 12, 4), (1, 0, 4, 4), 1 << 13, 1 << 14, 2, 2)
    with pytest.raises(KernelError, match="1 to 32768"):
        device_tables_bytes(4, 40000, 2, 2)
    with pytest.raises(KernelError, match="side"):
        fill_device_tables(1 << 13, 4, 40000, 2, 2)
