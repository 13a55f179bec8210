"""The CUDA resize out of the shipped image, bit for bit the CPU's. Runs where there is a CUDA device and pycuda."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from edgead.kernels import library, resize

pytestmark = pytest.mark.gpu
AXIS = np.dtype(
    [("first", np.uint64), ("count", np.uint64), ("weight", np.uint64), ("stride", np.int32), ("pad", np.int32)]
)


def axis(driver, size, out):
    """The taps of one axis on the device, and what keeps them alive."""
    native = library.load()
    tables = (
        np.empty(out, np.int32),
        np.empty(out, np.int32),
        np.zeros((out, native.edgead_resize_taps(size, out)), np.int16),
    )
    assert native.edgead_resize_axis(size, out, *(ctypes.c_void_p(table.ctypes.data) for table in tables)) == 0
    kept = [driver.to_device(table) for table in tables]
    return np.array((*map(int, kept), tables[2].shape[1], 0), AXIS)[()], kept


@pytest.mark.parametrize("shape", [(1080, 1920, 3), (37, 53, 3), (5, 7, 1), (512, 512, 1)])
@pytest.mark.parametrize("size", [(256, 256), (64, 48), (700, 900)])
@pytest.mark.parametrize("swap", [False, True])
def test_the_device_gives_the_cpus_bits(driver, image, shape, size, swap):
    kernel = image.get_function("edgead_resize_u8")
    frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    columns, kept = axis(driver, shape[0], size[0])
    rows, kept_too = axis(driver, shape[1], size[1])
    out = np.empty((*size, 3), np.uint8)
    kernel(
        driver.In(frame),
        np.int64(frame.strides[0]),
        np.int32(shape[2]),
        np.int32(swap),
        columns,
        rows,
        driver.Out(out),
        np.int32(size[0]),
        np.int32(size[1]),
        block=(32, 8, 1),
        grid=(-(-size[1] // 32), -(-size[0] // 8)),
    )
    assert kept and kept_too
    assert np.array_equal(out, resize(frame, *size, swap_channels=swap))
