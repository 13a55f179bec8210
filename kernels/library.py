"""The native libraries, for the CPU and for CUDA: found once, loaded once, or missing with one instructive error."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from pathlib import Path

from edgead.errors import KernelError

_STATUS = {
    1: "a side is smaller than 1 or larger than 32768 pixels, or an area leaves the frame",
    3: "out of memory",
    4: "a count is negative, or the number of threads is below 1",
    6: "there is no such layout, or the frame's sides, pitches or planes do not fit it",
    7: "a head is not 16 to 128 numbers wide",
    8: "the window has no centre, or leaves a query without a key",
    9: "there is no such type of numbers",
}
_CUDA_FAILED = 5


def _folders() -> list[Path]:
    """Where the library can lie. Through the import system, so that an editable install finds its rebuilt one."""
    named = os.environ.get("EDGEAD_NATIVE")
    if named:
        return [Path(named)]
    spec = importlib.util.find_spec("edgead.kernels")
    return [Path(entry) for entry in (spec.submodule_search_locations or [])] if spec else []


def find(name: str) -> Path | None:
    """The path of a file that the native build installs (`libedgead.so`, `libedgead_cuda.so`), or None."""
    return next((folder / name for folder in _folders() if (folder / name).is_file()), None)


@functools.cache
def load() -> ctypes.CDLL:
    """The CPU library. Raises KernelError where it was not built."""
    return _open("libedgead", "install edgead with pip: it needs a C++ compiler")


@functools.cache
def cuda() -> ctypes.CDLL:
    """The CUDA library, which loads without a GPU as well. Raises KernelError where it was not built."""
    library = _open("libedgead_cuda", "install edgead with pip where nvcc is found")
    library.edgead_cuda_error.restype = ctypes.c_char_p
    return library


def _open(name: str, todo: str) -> ctypes.CDLL:
    path = find(f"{name}.so") or find(f"{name}.dylib")
    if path is None:
        raise KernelError("the native library is missing", f"{name} in {', '.join(map(str, _folders()))}", todo)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelError(f"the native library does not load ({error})", path, "reinstall edgead") from error


def offers(function: str) -> bool:
    """Whether the CPU library is there, loads, and has this function: one that was built earlier may lack it."""
    try:
        return hasattr(load(), function)
    except KernelError:
        return False


def why_not_cuda() -> str | None:
    """Why the CUDA library cannot work on the current device, or None."""
    try:
        check(cuda().edgead_cuda_ready(), "CUDA")
    except KernelError as error:
        return error.what
    except AttributeError:  # a library that was built earlier
        return "the CUDA library is an old one"
    return None


def check_threads(threads: int, operator: str) -> None:
    """Raise KernelError for a number of threads below 1."""
    if threads < 1:
        raise KernelError(f"{threads} threads", operator, "give at least 1")


def check(status: int, operator: str) -> None:
    """Turn a status of the C interface into an exception."""
    if status == _CUDA_FAILED:
        raise KernelError(f"CUDA failed ({cuda().edgead_cuda_error().decode()})", operator, "check `nvidia-smi`")
    if status:
        raise KernelError(_STATUS.get(status, f"status {status}"), operator, "give what it takes")
