"""CIEDE2000 out of the shipped CUDA image, bit for bit the CPU's. Runs where there is a CUDA device and pycuda."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.kernels import ciede2000, ciede2000_planar, ciede2000_recolored

pytestmark = pytest.mark.gpu

WRONG = (np.nan, np.inf, -np.inf, 2e6, 1e-41, 0)


def colors(shape, seed):
    """CIELAB [..., 3], some of it wrong, subnormal, gray or next to gray."""
    random = np.random.default_rng(seed)
    lab = random.uniform((0, -128, -128), (100, 127, 127), (*shape, 3)).astype(np.float32)
    lab[random.random(shape) < 0.1, 1:] *= np.float32(1e-6)
    wrong = random.random(lab.shape) < 0.01
    lab[wrong] = random.choice(WRONG, wrong.sum())
    return lab


def launch(driver, image, name, first, second, images, pixels):
    """float32 [images, pixels]; `first` and `second` are whole buffers whose images follow each other."""
    out = np.full((images, pixels), -1, np.float32)
    image.get_function(f"edgead_ciede2000_{name}")(
        driver.In(first),
        np.int64(first.size // images),
        driver.In(second),
        np.int64(second.size // images),
        np.int64(images),
        np.int64(pixels),
        driver.InOut(out),
        block=(256, 1, 1),
        grid=(-(-pixels // 1024), min(images, 3)),
    )
    return out


def same_bits(got, expected):
    return np.array_equal(got.view(np.uint32).ravel(), expected.view(np.uint32).ravel())


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (5, 37, 53), (4, 256, 256), (1, 1000, 1000)])
@pytest.mark.parametrize("gap", [0, 1, 4])
def test_the_device_gives_the_cpus_bits(driver, image, shape, gap):
    """`gap` numbers lie between the images, so that they do or do not begin at a multiple of 16 bytes."""
    images, pixels = shape[0], shape[1] * shape[2]
    first, second = colors(shape, 0), colors(shape, 1)
    first[:, ::5], second[:, ::7, :, 1:] = second[:, ::5], -0.5 * first[:, ::7, :, 1:]  # equal and opposite
    expected = ciede2000(first, second)

    def apart(array):
        flat = array.reshape(images, -1)
        return np.ascontiguousarray(np.pad(flat, ((0, 0), (0, gap))))

    planes = [np.ascontiguousarray(np.moveaxis(lab, -1, 1)) for lab in (first, second)]
    assert same_bits(ciede2000_planar(*planes), expected)
    assert same_bits(launch(driver, image, "planar", *map(apart, planes), images, pixels), expected)
    assert same_bits(launch(driver, image, "interleaved", apart(first), apart(second), images, pixels), expected)

    rgb = np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8)
    ab = np.ascontiguousarray(planes[1][:, 1:])
    expected = ciede2000_recolored(rgb, ab)
    assert same_bits(launch(driver, image, "recolored", apart(rgb), apart(ab), images, pixels), expected)
