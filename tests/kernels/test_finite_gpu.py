"""The question whether an array is finite, asked on the device, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.errors import KernelError
from edgead.kernels.finite import finite_on_device

LARGEST = np.finfo(np.float32).max


def answer(device, values):
    """What the device says, over a flag that holds neither answer before."""
    found = device.put(np.full(3, 7, np.int32))
    finite_on_device(device.put(values), values.size, found + 4)
    before, said, after = device.get(found)
    assert before == after == 7
    return int(said)


@pytest.mark.parametrize("count", [1, 31, 256, 257, 70_000])
def test_one_number_that_is_none_is_found_wherever_it_is(device, count):
    values = np.random.default_rng(count).normal(0, 1e30, count).astype(np.float32)
    values[0] = LARGEST
    assert np.isfinite(values).all() and answer(device, values) == 1
    for place in {0, count // 2, count - 1}:
        for strange in (np.nan, -np.nan, np.inf, -np.inf):
            changed = values.copy()
            changed[place] = strange
            assert answer(device, changed) == 0


def test_the_ends_of_the_range_are_finite(device):
    smallest = np.finfo(np.float32).smallest_subnormal
    assert answer(device, np.float32([0, -0.0, smallest, -smallest, LARGEST, -LARGEST])) == 1


def test_nothing_is_finite(device):
    assert answer(device, np.empty(0, np.float32)) == 1


def test_a_negative_count_is_refused(device):
    with pytest.raises(KernelError, match="negative"):
        finite_on_device(0, -1, 0)
