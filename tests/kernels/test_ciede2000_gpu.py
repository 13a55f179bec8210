"""CIEDE2000 out of the CUDA library, bit for bit the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.errors import KernelError
from edgead.kernels import ciede2000, ciede2000_planar, ciede2000_recolored, library
from edgead.kernels.ciede2000 import ciede2000_on_device

WRONG = (np.nan, np.inf, -np.inf, 2e6, 1e-41, 0)


def colors(shape, seed):
    """CIELAB [..., 3], some of it wrong, subnormal, gray or next to gray."""
    random = np.random.default_rng(seed)
    lab = random.uniform((0, -128, -128), (100, 127, 127), (*shape, 3)).astype(np.float32)
    lab[random.random(shape) < 0.1, 1:] *= np.float32(1e-6)
    wrong = random.random(lab.shape) < 0.01
    lab[wrong] = random.choice(WRONG, wrong.sum())
    return lab


def run(device, layout, first, second, count, pixels):
    """float32 [count, pixels]; `first` and `second` are whole buffers whose pictures follow each other."""
    out = device.put(np.full((count, pixels), -1, np.float32))
    pitches = (first.size // count, second.size // count)
    addresses = device.put(first), device.put(second)
    ciede2000_on_device(layout, addresses[0], pitches[0], addresses[1], pitches[1], out, count=count, pixels=pixels)
    return device.get(out)


def same_bits(got, expected):
    return np.array_equal(got.view(np.uint32).ravel(), expected.view(np.uint32).ravel())


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (5, 37, 53), (4, 64, 64), (1, 1000, 100)])
@pytest.mark.parametrize("gap", [0, 1, 4])
def test_the_device_gives_the_cpus_bits(device, shape, gap):
    """`gap` numbers lie between the pictures, so that they do or do not begin at a multiple of 16 bytes."""
    count, pixels = shape[0], shape[1] * shape[2]
    first, second = colors(shape, 0), colors(shape, 1)
    first[:, ::5], second[:, ::7, :, 1:] = second[:, ::5], -0.5 * first[:, ::7, :, 1:]  # equal and opposite
    expected = ciede2000(first, second)

    def apart(array):
        flat = array.reshape(count, -1)
        return np.ascontiguousarray(np.pad(flat, ((0, 0), (0, gap))))

    planes = [np.ascontiguousarray(np.moveaxis(lab, -1, 1)) for lab in (first, second)]
    assert same_bits(ciede2000_planar(*planes), expected)
    assert same_bits(run(device, "planar", *map(apart, planes), count, pixels), expected)
    assert same_bits(run(device, "interleaved", apart(first), apart(second), count, pixels), expected)

    rgb = np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8)
    ab = np.ascontiguousarray(planes[1][:, 1:])
    expected = ciede2000_recolored(rgb, ab)
    assert same_bits(run(device, "recolored", apart(rgb), apart(ab), count, pixels), expected)


@pytest.mark.parametrize("device", ["forward", pytest.param("gpu", marks=pytest.mark.gpu)], indirect=True)
def test_more_pictures_than_a_grid_is_high(device):
    lab = colors((70_000, 1, 1), 3)[:, 0, 0]
    other = lab[::-1].copy()
    assert same_bits(run(device, "planar", lab, other, 70_000, 1), ciede2000(lab, other))


def test_nothing_is_done_for_no_pictures_and_a_wrong_count_is_refused(device):
    ciede2000_on_device("planar", 0, 0, 0, 0, 0, count=0, pixels=5)
    with pytest.raises(KernelError, match="count is negative"):
        ciede2000_on_device("planar", 0, 0, 0, 0, 0, count=-1, pixels=5)
    with pytest.raises(KernelError, match="choose one of planar"):
        ciede2000_on_device("round", 0, 0, 0, 0, 0, count=1, pixels=5)


def test_the_library_loads_without_a_gpu_and_says_what_is_missing():
    torch = pytest.importorskip("torch")
    if library.find("libedgead_cuda.so") is None:
        pytest.skip("the CUDA library was not built")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(KernelError, match=r"CUDA failed .*driver"):
        ciede2000_on_device("planar", 8, 0, 8, 0, 8, count=1, pixels=1)
