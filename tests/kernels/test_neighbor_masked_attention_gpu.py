"""Neighbour-masked attention out of the CUDA library, against the oracle in float64."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from edgead.kernels import library, reference
from edgead.kernels.neighbor_masked_attention import TYPES, Attention, attend

from .conftest import Emulated

KINDS = tuple(TYPES)
UNIT = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # how far rounding to 16 bits moves a number
SUMS = 2e-6  # how far the sums of float32 move an answer, relative to the largest value
GUARD = 64  # numbers on both sides of an array that belong to nobody


def stored(kind, array):
    """As the device has it; bfloat16 as its bits."""
    array = np.asarray(array, np.float32)
    if kind == "bfloat16":
        bits = array.view(np.uint32)
        rounded = ((bits.astype(np.uint64) + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
        return np.where(np.isnan(array), np.uint16(0x7FC0), rounded)
    return array.astype(kind)


def numbers(kind, array):
    """The float32 numbers of what is stored."""
    if kind == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def given(problem, seed=0, scale=1.0):
    """Three random float32 arrays; scores have a standard deviation of about scale^2."""
    shape = (problem.batch, problem.height * problem.width, problem.heads * problem.dim)
    q, k, v = np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)
    return q * np.float32(scale), k * np.float32(scale), v


def run(device, kind, problem, arrays, shift=0):
    """float32, like the arrays, which are rounded to `kind` first. `shift`: of all addresses, in numbers."""
    addresses, begin = [], GUARD + shift
    for array in (*arrays, np.full_like(arrays[0], np.nan)):
        inside = stored(kind, array).ravel()
        around = np.full(inside.size + 2 * GUARD, stored(kind, np.full(1, np.nan))[0], inside.dtype)
        around[begin : begin + inside.size] = inside
        addresses.append(device.put(around))
    attend(problem, kind, *(address + begin * around.itemsize for address in addresses), stream=0)
    got = numbers(kind, device.get(addresses[-1]))
    size = arrays[0].size
    assert np.isnan(got[:begin]).all() and np.isnan(got[begin + size :]).all()
    return got[begin : begin + size].reshape(arrays[0].shape)


def oracle(kind, problem, arrays):
    names = ("height", "width", "neighbor_height", "neighbor_width")
    rounded = (numbers(kind, stored(kind, array)) for array in arrays)
    options = {name: getattr(problem, name) for name in names}
    return reference.neighbor_masked_attention(*rounded, num_heads=problem.heads, **options)


def agrees(kind, got, expected, arrays, sums=SUMS):
    """Tensor cores take weights that were rounded to 16 bits, each by up to a unit; the answer is rounded once more."""
    return np.abs(got - expected).max() <= (sums + 2 * UNIT[kind]) * np.abs(arrays[2]).max()  # NaN fails


def check(device, kind, problem, seed=0, shift=0):
    arrays = given(problem, seed)
    assert agrees(kind, run(device, kind, problem, arrays, shift), oracle(kind, problem, arrays), arrays)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("multiprocessors", [1, 4, 132])  # of the emulated GPU: 1, 2 and 4 warps share a tile
def test_14x14_tokens_of_two_heads_with_a_window_of_7x7(device, kind, multiprocessors, monkeypatch):
    monkeypatch.setenv("EDGEAD_MULTIPROCESSORS", str(multiprocessors))
    check(device, kind, Attention(1, 2, 32, 14, 14, 7, 7))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [16, 17, 24, 32, 40, 50, 64, 96, 128])
def test_heads_of_any_width(device, kind, dim):
    check(device, kind, Attention(1, 2, dim, 5, 7, 3, 3), dim)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("grid", "window"),
    [
        ((1, 1), (0, 0)),
        ((1, 2), (1, 1)),
        ((3, 3), (0, 3)),
        ((3, 3), (3, 0)),
        ((4, 4), (3, 3)),
        ((1, 40), (1, 39)),
        ((40, 1), (39, 1)),
        ((6, 11), (11, 9)),
        ((9, 5), (7, 99)),
        ((64, 2), (1, 1)),
        ((2, 64), (3, 63)),
    ],
)
def test_grids_and_windows(device, kind, grid, window):
    check(device, kind, Attention(1, 1, 32, *grid, *window))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("batch", "heads"), [(3, 1), (2, 5)])
def test_images_and_heads(device, kind, batch, heads):
    check(device, kind, Attention(batch, heads, 32, 6, 6, 3, 5))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_32x32_tokens(device, kind):
    check(device, kind, Attention(1, 1, 32, 32, 32, 7, 7))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dim", "shift"), [(32, 1), (32, 4), (64, 8), (20, 1), (128, 3)])
def test_addresses_that_are_multiples_of_a_number_alone(device, kind, dim, shift):
    check(device, kind, Attention(2, 1, dim, 5, 5, 3, 3), shift=shift)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("dim", [32, 64, 128])
def test_gpus_whose_tensor_cores_are_older(device, kind, dim, monkeypatch):
    """Weights stay float32 there: the answer alone is rounded."""
    monkeypatch.setenv("EDGEAD_MAJOR", "7")  # of the emulated GPU
    problem = Attention(1, 2, dim, 5, 7, 3, 3)
    arrays = given(problem)
    expected = oracle(kind, problem, arrays)
    weights = 0 if isinstance(device, Emulated) else UNIT[kind]
    error = np.abs(run(device, kind, problem, arrays) - expected)
    assert (error <= UNIT[kind] * np.abs(expected) + (SUMS + weights) * np.abs(arrays[2]).max()).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [32, 128])
def test_large_scores(device, kind, dim):
    """Up to some thousands: a weight is off by the rounding of its score, which is that much greater."""
    problem = Attention(1, 1, dim, 8, 8, 3, 3)
    arrays = given(problem, scale=24.0)
    q, k = (numbers(kind, stored(kind, array)).astype(np.float64) for array in arrays[:2])
    largest = np.abs(q @ k.transpose(0, 2, 1)).max() / np.sqrt(dim)
    assert 1000 < largest < 5000
    got = run(device, kind, problem, arrays)
    assert agrees(kind, got, oracle(kind, problem, arrays), arrays, sums=largest * SUMS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("multiprocessors", [0, 132])  # of the emulated GPU: 1 warp has a tile, or 4
def test_scores_that_grow_from_key_to_key(device, kind, multiprocessors, monkeypatch):
    """The greatest score so far is passed again and again, in steps that are too small to count as well."""
    monkeypatch.setenv("EDGEAD_MULTIPROCESSORS", str(multiprocessors))
    problem = Attention(1, 1, 32, 10, 10, 1, 1)
    arrays = given(problem)
    for scale in (0.02, 0.2, 4.0):
        arrays[0][:], arrays[1][:] = 1.0, np.float32(scale * np.arange(100) / 32**0.5)[:, None]
        expected = oracle(kind, problem, arrays)
        assert agrees(kind, run(device, kind, problem, arrays), expected, arrays, sums=100 * SUMS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [24, 32])
def test_a_hidden_key_weighs_nothing(device, kind, dim):
    problem = Attention(1, 1, dim, 7, 9, 3, 5)
    arrays = given(problem)
    before = run(device, kind, problem, arrays)
    near = [9 * y + x for y in (2, 3, 4) for x in (2, 3, 4, 5, 6)]
    for array in arrays[1:]:
        array[0, near] = 1000.0
    after = run(device, kind, problem, arrays)
    centre = 9 * 3 + 4
    assert np.array_equal(after[0, centre], before[0, centre])
    assert not np.array_equal(after[0, centre - 1], before[0, centre - 1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [24, 40])
def test_nan_stays_in_its_head_and_image(device, kind, dim):
    problem = Attention(2, 3, dim, 5, 5, 3, 3)
    arrays = given(problem)
    before = run(device, kind, problem, arrays)
    for array in arrays:
        array[1, :, dim : 2 * dim] = np.nan
    after = run(device, kind, problem, arrays)
    spoilt = np.zeros(after.shape, bool)
    spoilt[1, :, dim : 2 * dim] = True
    assert np.isnan(after[spoilt]).all()
    assert np.array_equal(after[~spoilt], before[~spoilt])


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_that_is_nan_spoils_itself_alone(device, kind):
    problem = Attention(1, 1, 32, 6, 6, 3, 3)
    arrays = given(problem)
    before = run(device, kind, problem, arrays)
    arrays[0][0, 17, 5] = np.nan
    after = run(device, kind, problem, arrays)
    assert np.isnan(after[0, 17]).all()
    others = np.arange(36) != 17
    assert np.abs(after[0, others] - before[0, others]).max() <= 2 * UNIT[kind] * 4 + SUMS


# ---- the C interface -------------------------------------------------------------------------------------------------

GOOD = Attention(1, 2, 32, 4, 4, 3, 3)


def status(problem, kind=0):
    class Problem(ctypes.Structure):
        _fields_ = [("batch", ctypes.c_int64)]
        _fields_ += [(name, ctypes.c_int32) for name in ("heads", "dim", "height", "width", "rows", "columns")]

    nowhere = [ctypes.c_void_p(0)] * 4
    return library.cuda().edgead_cuda_neighbor_masked_attention(*nowhere, kind, ctypes.byref(Problem(*problem)), None)


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (0, -1, 4),
        (1, 0, 4),
        (1, 1025, 4),
        (2, 15, 7),
        (2, 129, 7),
        (3, 0, 1),
        (4, 65, 1),
        (5, 2, 8),
        (6, -1, 8),
        (5, 5, 8),  # 5x3 leaves the queries of the middle rows their keys on the left and right, 5x5 none
    ],
)
def test_what_is_not_supported_is_refused(device, place, value, expected):
    problem = [1, 2, 32, 4, 4, 3, 5 if (place, value) == (5, 5) else 3]
    problem[place] = value
    assert status(problem) == expected


def test_unknown_types_and_more_images_than_there_can_be_are_refused(device):
    problem = [1, 2, 32, 4, 4, 3, 3]
    assert status(problem, 3) == status(problem, -1) == 9
    for kind in TYPES.values():
        assert status([2**40, *problem[1:]], kind) == 4


def test_no_image_needs_no_memory(device):
    for kind in TYPES.values():
        assert status([0, 2, 32, 4, 4, 3, 3], kind) == 0
    attend(replace(GOOD, batch=0), "float16", 0, 0, 0, 0, stream=0)
