"""The CUDA driver and the device in use. The only module that imports pycuda.

The device's primary context is used, so that TensorRT, torch and the operators of `edgead.kernels` share it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgead.errors import EngineError, EngineUnavailable

DEVICE = 0  # CUDA_VISIBLE_DEVICES chooses another, for TensorRT as well


@dataclass(frozen=True)
class Device:
    """A GPU. compute_capability: such as `8.7`. driver: the newest CUDA version that it takes, such as `12.6`.
    integrated: its memory is the host's, as on a Jetson."""

    name: str
    compute_capability: str
    driver: str
    integrated: bool


def unavailable() -> str | None:
    """Why no CUDA device can be used here, or None."""
    try:
        driver()
    except EngineUnavailable as error:
        return error.what
    return None


def describe() -> Device:
    """The device in use. Raises EngineUnavailable where there is none."""
    cuda = driver()
    device = cuda.Device(DEVICE)
    version = cuda.get_driver_version()
    capability = ".".join(str(part) for part in device.compute_capability())
    integrated = bool(device.get_attribute(cuda.device_attribute.INTEGRATED))
    return Device(device.name(), capability, f"{version // 1000}.{version % 1000 // 10}", integrated)


@functools.cache
def driver() -> Any:
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
    return driver().Device(DEVICE).retain_primary_context()


@contextmanager
def current() -> Iterator[None]:
    """Make the device current in this thread. CUDA's errors leave as EngineError."""
    cuda = driver()
    try:
        _primary_context().push()
        try:
            yield
        finally:
            cuda.Context.pop()
    except cuda.Error as error:
        raise EngineError(f"CUDA failed ({error})", "gpu", "start the engine again") from error
