"""CIEDE2000, the difference of two colours as an eye sees it, in float32.

The definition, with the same bits on every instruction set and device and for any number of threads, is in
`include/edgead/ciede2000.h`. Pixels are taken as they lie in memory: interleaved [..., 3], planar [N, 3, H, W], or as a
photograph and other a*, b* for it. What is in order inside a row (planar and photographs: inside a picture) is read in
place, anything else is copied first. The GIL is released meanwhile.
"""

from __future__ import annotations

import ctypes
import math
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgead.errors import KernelError
from edgead.kernels import library
from edgead.kernels.output import check_output

Color = NDArray[np.float32]
Photograph = NDArray[np.uint8]

LAYOUTS = ("planar", "interleaved", "recolored")
_WHERE = "CIEDE2000"


def ciede2000_into(lab1: Color, lab2: Color, out: Color, *, threads: int = 1) -> None:
    """The differences of colours, float32 [..., 3] twice, CIELAB, into `out`, float32 [...], C-contiguous.

    L* goes from 0 to 100, a* and b* about from -128 to 128; the differences are 0 or greater. The order of the two
    changes nothing. A component that is not a number, infinite, or outside of -1,000,000 to 1,000,000 gives NaN. At
    most `threads` threads work on it. Raises KernelError for any other array, and for an `out` that shares memory with
    a colour.
    """
    _check(lab1, "the first colour", np.float32, (..., 3))
    _check(lab2, "the second colour", np.float32, lab1.shape)
    _check_out(out, lab1.shape[:-1], lab1, lab2)
    rows, pixels = 1, out.size
    if lab1.ndim > 2 and not (lab1.flags.c_contiguous and lab2.flags.c_contiguous):
        rows, pixels = math.prod(lab1.shape[:-2]), lab1.shape[-2]
    first, second = (lab.reshape(rows, pixels, 3) for lab in (lab1, lab2))
    _run("edgead_ciede2000_interleaved", first, second, rows, pixels, out, threads)


def ciede2000(lab1: Color, lab2: Color, *, threads: int = 1) -> Color:
    """Allocate float32 [...] and `ciede2000_into` it."""
    out = np.empty(np.shape(lab1)[:-1], np.float32)
    ciede2000_into(lab1, lab2, out, threads=threads)
    return out


def ciede2000_planar_into(lab1: Color, lab2: Color, out: Color, *, threads: int = 1) -> None:
    """The differences of pictures, float32 [N, 3, H, W] twice, CIELAB, into `out`, float32 [N, 1, H, W], C-contiguous.

    Everything else is as for `ciede2000_into`.
    """
    _check(lab1, "the first picture", np.float32, (None, 3, None, None))
    _check(lab2, "the second picture", np.float32, lab1.shape)
    count, _, height, width = lab1.shape
    _check_out(out, (count, 1, height, width), lab1, lab2)
    _run("edgead_ciede2000_planar", lab1, lab2, count, height * width, out, threads)


def ciede2000_planar(lab1: Color, lab2: Color, *, threads: int = 1) -> Color:
    """Allocate float32 [N, 1, H, W] and `ciede2000_planar_into` it."""
    shape = np.shape(lab1)
    out = np.empty((*shape[:1], 1, *shape[2:]), np.float32)
    ciede2000_planar_into(lab1, lab2, out, threads=threads)
    return out


def ciede2000_recolored_into(rgb: Photograph, ab: Color, out: Color, *, threads: int = 1) -> None:
    """The differences between photographs, uint8 [N, H, W, 3], sRGB, and the same photographs with other a*, b*,
    float32 [N, 2, H, W], into `out`, float32 [N, H, W], C-contiguous.

    A photograph becomes CIELAB (D65, 2 degrees) on the way; L* is its own in both. Everything else is as for
    `ciede2000_into`.
    """
    _check(rgb, "the photograph", np.uint8, (None, None, None, 3))
    count, height, width, _ = rgb.shape
    _check(ab, "a*, b*", np.float32, (count, 2, height, width))
    _check_out(out, (count, height, width), rgb, ab)
    _run("edgead_ciede2000_recolored", rgb, ab, count, height * width, out, threads)


def ciede2000_recolored(rgb: Photograph, ab: Color, *, threads: int = 1) -> Color:
    """Allocate float32 [N, H, W] and `ciede2000_recolored_into` it."""
    out = np.empty(np.shape(rgb)[:-1], np.float32)
    ciede2000_recolored_into(rgb, ab, out, threads=threads)
    return out


def ciede2000_on_device(
    layout: str,
    first: int,
    pitch1: int,
    second: int,
    pitch2: int,
    out: int,
    *,
    count: int,
    pixels: int,
    stream: int = 0,
) -> None:
    """Queue one of the three above on a CUDA stream, on addresses of the device's memory.

    layout: `planar` or `recolored` on `count` pictures, `interleaved` on rows, of so many pixels. The pictures or rows
    of an input are its pitch apart, in elements; `out` is float32 [count, pixels]. Raises KernelError where it cannot
    be queued. Returns before it is done.
    """
    if layout not in LAYOUTS:
        raise KernelError(f"no layout {layout!r}", _WHERE, f"choose one of {', '.join(LAYOUTS)}")
    address, number = ctypes.c_void_p, ctypes.c_int64
    status = getattr(library.cuda(), f"edgead_cuda_ciede2000_{layout}")(
        address(first),
        number(pitch1),
        address(second),
        number(pitch2),
        number(count),
        number(pixels),
        address(out),
        address(stream),
    )
    library.check(status, _WHERE)


def _check(array: Any, what: str, dtype: DTypeLike, shape: tuple[int | EllipsisType | None, ...]) -> None:
    """`shape` has None for any length, and may begin with ... for any lengths."""
    if not isinstance(array, np.ndarray):
        raise KernelError(f"{what} is a {type(array).__name__}", _WHERE, f"give an array of {np.dtype(dtype)}")
    if array.dtype != dtype:
        raise KernelError(f"{what} is {array.dtype}, not {np.dtype(dtype)}", _WHERE, "convert it")
    wanted = shape[1:] if shape[:1] == (...,) else shape
    given = array.shape[-len(wanted) :] if wanted is not shape else array.shape
    if len(given) != len(wanted) or any(n is not None and n != m for n, m in zip(wanted, given, strict=True)):
        text = ", ".join("any" if n is None else "..." if n is ... else str(n) for n in shape)
        raise KernelError(f"{what} has shape {array.shape}", _WHERE, f"give [{text}]")


def _check_out(out: Any, shape: tuple[int, ...], *inputs: NDArray[Any]) -> None:
    _check(out, "the output", np.float32, shape)
    check_output(out, _WHERE, *inputs)


def _run(function: str, first: Any, second: Any, count: int, pixels: int, out: Color, threads: int) -> None:
    """Call the C interface on `count` pictures or rows of so many pixels."""
    library.check_threads(threads, _WHERE)
    if out.size == 0:
        return
    (first, pitch1), (second, pitch2) = _in_place(first), _in_place(second)
    status = getattr(library.load(), function)(
        ctypes.c_void_p(first.ctypes.data),
        ctypes.c_int64(pitch1),
        ctypes.c_void_p(second.ctypes.data),
        ctypes.c_int64(pitch2),
        ctypes.c_int64(count),
        ctypes.c_int64(pixels),
        ctypes.c_void_p(out.ctypes.data),
        threads,
    )
    library.check(status, _WHERE)


def _in_place(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The array, each picture or row of it in order, and how many elements they are apart."""
    if not (array[:1].flags.c_contiguous and array.flags.aligned):
        array = np.require(array, requirements=["C", "A"])
    return array, array.strides[0] // array.itemsize
