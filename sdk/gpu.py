"""CUDA from Python, as much as an engine needs. The only module that imports pycuda.

The device's primary context is used, so that TensorRT, torch and the operators of `edgead.kernels` share it. A context
belongs to a thread: whoever touches the device does so inside `Gpu.current`, in any thread, one thread at a time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgead.errors import EngineError, EngineUnavailable

DEVICE = 0  # CUDA_VISIBLE_DEVICES chooses another, for TensorRT as well


@dataclass(frozen=True)
class Device:
    """A GPU. compute_capability: such as `8.7`. driver: the newest CUDA version that it takes, such as `12.6`."""

    name: str
    compute_capability: str
    driver: str


def unavailable() -> str | None:
    """Why no CUDA device can be used here, or None."""
    try:
        _driver()
    except EngineUnavailable as error:
        return error.what
    return None


def describe() -> Device:
    """The device in use. Raises EngineUnavailable where there is none."""
    cuda = _driver()
    device = cuda.Device(DEVICE)
    version = cuda.get_driver_version()
    capability = ".".join(str(part) for part in device.compute_capability())
    return Device(device.name(), capability, f"{version // 1000}.{version % 1000 // 10}")


@functools.cache
def _driver() -> Any:
    """pycuda's driver module, initialised. A failure is not kept: the next call tries again."""
    try:
        import pycuda.driver as cuda  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise EngineUnavailable(
            f"pycuda does not import ({error})", "gpu", "install edgead[tensorrt] and a driver"
        ) from error
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        raise EngineUnavailable(f"the CUDA driver does not start ({error})", "gpu", "check `nvidia-smi`") from error
    if count <= DEVICE:
        raise EngineUnavailable("there is no CUDA device", "gpu", "check CUDA_VISIBLE_DEVICES")
    return cuda


@functools.cache
def _primary_context() -> Any:
    """Retained once for the whole process: pycuda can release it only from the thread that retained it."""
    return _driver().Device(DEVICE).retain_primary_context()


class Gpu:
    """A stream on the device. `open` and `close` take and free it, inside `current`."""

    def __init__(self) -> None:
        self._stream: Any = None

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the device current in this thread. CUDA's errors leave as EngineError."""
        cuda = _driver()
        try:
            _primary_context().push()
            try:
                yield
            finally:
                cuda.Context.pop()
        except cuda.Error as error:
            raise EngineError(f"CUDA failed ({error})", "gpu", "start the engine again") from error

    def open(self) -> None:
        self._stream = _driver().Stream()

    def close(self) -> None:
        self._stream = None

    @property
    def stream(self) -> int:
        """The stream's handle, a CUstream as a number."""
        return int(self._stream.handle)

    def upload(self, buffer: Buffer, count: int) -> None:
        """Queue a copy of the first `count` elements of `host` to the device."""
        _driver().memcpy_htod_async(buffer.address, buffer.host[:count], self._stream)

    def download(self, buffer: Buffer, count: int) -> None:
        """Queue a copy of the first `count` elements from the device to `host`."""
        _driver().memcpy_dtoh_async(buffer.host[:count], buffer.address, self._stream)

    def synchronize(self) -> None:
        """Wait for everything that was queued."""
        self._stream.synchronize()


class Buffer:
    """The same array twice: `host`, flat and page-locked, and at `address` on the device.

    Made and freed inside `Gpu.current`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        cuda, size = _driver(), math.prod(shape)
        self.host: NDArray[Any] = cuda.pagelocked_empty(size, dtype)
        self._locked: Any = self.host.base
        try:
            self._device = cuda.mem_alloc(self.host.nbytes)
        except cuda.Error:
            self._locked.free()
            raise
        self.address = int(self._device)

    def free(self) -> None:
        """Give both back. Arrays that view `host` are invalid from here on."""
        self.host = np.empty(0, self.host.dtype)
        self._device.free()
        self._locked.free()
