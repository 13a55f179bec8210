"""The emulated tensor cores against NumPy, with the elements dealt to the lanes as CUTLASS describes the hardware."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.stand_ins.emulated import EMULATOR, compile_emulated

# CuTe's layouts of SM80_16x8x16_F32F16F16F32_TN, (lane, value) -> place in the matrix, column by column: shapes and
# strides of the lane and of its values (cute/atom/mma_traits_sm80.hpp). B is [N, K] there.
LAYOUTS = {
    "a": (((4, 32), (8, 1)), ((2, 16), (2, 8), (2, 128)), (16, 16)),
    "b": (((4, 16), (8, 1)), ((2, 8), (2, 64)), (8, 16)),
    "c": (((4, 32), (8, 1)), ((2, 16), (2, 8)), (16, 8)),
}


def places(modes):
    """The place of each index; the first mode runs fastest."""
    found = np.zeros(1, int)
    for size, stride in modes:
        found = (np.arange(size)[:, None] * stride + found).ravel()
    return found


def dealt(name):
    """Row and column of each lane's values: twice [32, values]."""
    lanes, values, shape = LAYOUTS[name]
    column, row = np.divmod(places(lanes)[:, None] + places(values), shape[0])
    return row, column


@pytest.mark.parametrize("kind", [1, 2], ids=["float16", "bfloat16"])
def test_a_product_of_16x16_and_16x8(kind, tmp_path):
    library = ctypes.CDLL(str(compile_emulated(tmp_path, [EMULATOR / "mma_probe.cu"])))
    random = np.random.default_rng(0)
    a, b, c = (random.integers(-9, 10, size).astype(np.float32) for size in ((16, 16), (8, 16), (16, 8)))

    def words(name, matrix):
        mine = matrix[dealt(name)]
        bits = mine.astype(np.float16).view(np.uint16) if kind == 1 else (mine.view(np.uint32) >> 16).astype(np.uint16)
        return np.ascontiguousarray(bits).view(np.uint32)

    fragments = words("a", a), words("b", b), np.ascontiguousarray(c[dealt("c")])
    assert library.probe_product(*(ctypes.c_void_p(each.ctypes.data) for each in fragments), kind) == 0
    got = np.full_like(c, np.nan)
    got[dealt("c")] = fragments[2]
    assert np.array_equal(got, c + a @ b.T)  # whole numbers: no rounding
