"""The native library: found once, loaded once, or missing with one instructive error."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from pathlib import Path

from edgead.errors import KernelError

_STATUS = {
    1: "a side is smaller than 1 or larger than 32768 pixels",
    2: "the image has neither 1 nor 3 channels",
    3: "out of memory",
    4: "a count is negative, or the number of threads is below 1",
}


def _folders() -> list[Path]:
    """Where the library can lie. Through the import system, so that an editable install finds its rebuilt one."""
    named = os.environ.get("EDGEAD_NATIVE")
    if named:
        return [Path(named)]
    spec = importlib.util.find_spec("edgead.kernels")
    return [Path(entry) for entry in (spec.submodule_search_locations or [])] if spec else []


def find(name: str) -> Path | None:
    """The path of a file that the native build installs (`libedgead.so`, `edgead.fatbin`), or None."""
    return next((folder / name for folder in _folders() if (folder / name).is_file()), None)


@functools.cache
def load() -> ctypes.CDLL:
    """The CPU library. Raises KernelError where it was not built."""
    path = find("libedgead.so") or find("libedgead.dylib")
    if path is None:
        looked = ", ".join(map(str, _folders()))
        raise KernelError("the native library is missing", looked, "install edgead with pip: it needs a C++ compiler")
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelError(f"the native library does not load ({error})", path, "reinstall edgead") from error


def offers(function: str) -> bool:
    """Whether the library is there, loads, and has this function: one that was built earlier may lack it."""
    try:
        return hasattr(load(), function)
    except KernelError:
        return False


def check(status: int, operator: str) -> None:
    """Turn a status of the C interface into an exception."""
    if status:
        raise KernelError(_STATUS.get(status, f"status {status}"), operator, "call it with a supported image")
