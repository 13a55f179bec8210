"""Whether an array on a CUDA device holds nothing but finite numbers. On the host `numpy.isfinite` says it."""

from __future__ import annotations

import ctypes

from edgead.kernels import library


def finite_on_device(values: int, count: int, finite: int, *, stream: int = 0) -> None:
    """Queue the question on a CUDA stream, on addresses of the device's memory.

    values: float32 [count]. finite: int32, becomes 1 where none of them is NaN or infinite, else 0. Raises KernelError
    where it cannot be queued.
    """
    status = library.cuda().edgead_cuda_finite(
        ctypes.c_void_p(values), ctypes.c_int64(count), ctypes.c_void_p(finite), ctypes.c_void_p(stream)
    )
    library.check(status, "finite")
