"""Where device code runs in the tests: emulated on the host, in several orders of its threads, and on a GPU."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest

from edgead.kernels import library

ORDERS = ("forward", "backward", "7")  # in which the threads of a block take turns


class Emulated:
    """Device memory is the host's. Arrays are kept as long as this is."""

    def __init__(self) -> None:
        self._kept: dict[int, np.ndarray] = {}

    def put(self, array: np.ndarray) -> int:
        """The address of a copy."""
        copy = np.array(array, order="C", copy=True)
        self._kept[copy.ctypes.data] = copy
        return copy.ctypes.data

    def get(self, address: int) -> np.ndarray:
        """What `put` has made, as it is now."""
        return self._kept[address].copy()


class Gpu:
    """Device memory of the first GPU."""

    def __init__(self, driver) -> None:
        self._driver, self._kept = driver, {}

    def put(self, array: np.ndarray) -> int:
        copy = np.array(array, order="C", copy=True)
        memory = self._driver.mem_alloc(max(copy.nbytes, 1))
        if copy.nbytes:
            self._driver.memcpy_htod(memory, copy)
        self._kept[int(memory)] = memory, copy
        return int(memory)

    def get(self, address: int) -> np.ndarray:
        memory, copy = self._kept[address]
        self._driver.Context.synchronize()
        if copy.nbytes:
            self._driver.memcpy_dtoh(copy, memory)
        return copy.copy()


@pytest.fixture(scope="session")
def driver():
    """pycuda's driver, in the primary context of the first device."""
    driver = pytest.importorskip("pycuda.driver", reason="pycuda finds no CUDA driver", exc_type=ImportError)
    driver.init()
    if driver.Device.count() == 0:
        pytest.skip("there is no CUDA device")
    context = driver.Device(0).retain_primary_context()
    context.push()
    yield driver
    context.pop()


@pytest.fixture(params=[*ORDERS, pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request, monkeypatch):
    """Memory for the functions of the CUDA library: `put` and `get`. On the host, the library is the emulated one."""
    if request.param == "gpu":
        return Gpu(request.getfixturevalue("driver"))
    emulated = ctypes.CDLL(str(request.getfixturevalue("emulated_library")))
    emulated.edgead_cuda_error.restype = ctypes.c_char_p
    monkeypatch.setattr(library, "cuda", lambda: emulated)
    monkeypatch.setitem(os.environ, "EDGEAD_ORDER", request.param)
    return Emulated()
