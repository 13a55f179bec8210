"""Memory of the device, and arrays that are on both sides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgead.gpu.driver import driver


class Memory:
    """`size` bytes on the device, from `address` on, a multiple of 256."""

    def __init__(self, size: int) -> None:
        self._device = driver().mem_alloc(size)
        self.address = int(self._device)

    def free(self) -> None:
        self._device.free()


class Buffer:
    """The same array twice: `host`, flat and page-locked, and at `address` on the device.

    mapped: the array exists once, on the host, where the device reads and writes it as well; for devices whose memory
    is the host's. Copies between the two are then none.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, *, mapped: bool = False) -> None:
        cuda, size = driver(), math.prod(shape)
        flags = cuda.host_alloc_flags.DEVICEMAP if mapped else 0
        self.mapped = mapped
        self.host: NDArray[Any] = cuda.pagelocked_empty(size, dtype, mem_flags=flags)
        self._locked: Any = self.host.base
        self._device: Any = None
        try:
            self._device = None if mapped else cuda.mem_alloc(self.host.nbytes)
            self.address = int(self._locked.get_device_pointer() if mapped else self._device)
        except cuda.Error:
            self._locked.free()
            raise

    def free(self) -> None:
        """Give both back. Arrays that view `host` are invalid from here on."""
        self.host = np.empty(0, self.host.dtype)
        if self._device is not None:
            self._device.free()
        self._locked.free()
