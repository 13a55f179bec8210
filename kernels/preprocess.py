"""From a camera's frame to the graph's input: an area of it as RGB, resized with antialiasing.

The definition, in integers and therefore with the same bits on every instruction set and device and for any number of
threads, is in `include/edgead/preprocess.h`: first every pixel becomes RGB, with the integers of OpenCV's cvtColor,
then the area is resized as `resize` does. The GIL is released meanwhile.
"""

from __future__ import annotations

import ctypes
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import KernelError
from edgead.kernels import library
from edgead.kernels.frame import AreaStruct, FrameStruct, frame_of, frame_struct
from edgead.kernels.output import check_output

Image = NDArray[np.uint8]
Planes = tuple[Image, Image]
Box = tuple[int, int, int, int]  # x, y, width, height

_WHERE = "preprocess"


def preprocess_into(
    frame: Image | Planes, out: Image, *, layout: str = "bgr", area: Box | None = None, threads: int = 1
) -> None:
    """An area of a frame, all of it without one, into `out`, uint8 [height, width, 3], C-contiguous, RGB.

    frame: uint8, of h x w pixels with sides up to 32768, for the layout "bgr" or "rgb" [h, w, 3], "gray" [h, w] or
    [h, w, 1], "yuyv" [h, w, 2] (w even), "nv12" [h + h / 2, w] (h and w even) or a pair of planes, [h, w] and
    [h / 2, w] or [h / 2, w / 2, 2]; YUV is that of BT.601 in its narrow range. Rows may be apart (a crop, a padded
    frame) and are read in place; what is not in order inside a row is copied first.
    area: x, y, width and height in pixels inside the frame, odd ones too. At most `threads` threads work on it.
    Raises KernelError for any other array, area or layout, and for an `out` that shares memory with the frame.
    """
    held = _frame(frame, layout)
    if not isinstance(out, np.ndarray) or out.dtype != np.uint8 or out.ndim != 3 or out.shape[2] != 3 or out.size == 0:
        given = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise KernelError(f"the output is {given}", _WHERE, "give uint8 [height, width, 3]")
    check_output(out, _WHERE, *(frame if isinstance(frame, tuple) else (frame,)))
    library.check_threads(threads, _WHERE)
    status = library.load().edgead_preprocess(
        ctypes.byref(held),
        ctypes.byref(_area(held, area)),
        ctypes.c_void_p(out.ctypes.data),
        out.shape[0],
        out.shape[1],
        threads,
    )
    library.check(status, _WHERE)


def preprocess(
    frame: Image | Planes, height: int, width: int, *, layout: str = "bgr", area: Box | None = None, threads: int = 1
) -> Image:
    """Allocate uint8 [height, width, 3] and `preprocess_into` it."""
    if height < 1 or width < 1:
        raise KernelError(f"the size {height} x {width} is empty", _WHERE, "give sides of at least 1 pixel")
    out = np.empty((height, width, 3), np.uint8)
    preprocess_into(frame, out, layout=layout, area=area, threads=threads)
    return out


def device_tables_bytes(area_height: int, area_width: int, height: int, width: int) -> int:
    """Of the tables that `fill_device_tables` makes. Raises KernelError where a side is not 1 to 32768 pixels."""
    function = library.cuda().edgead_cuda_preprocess_bytes
    function.restype = ctypes.c_int64
    size = int(function(area_height, area_width, height, width))
    if size < 0:
        sizes = f"{area_height} x {area_width} to {height} x {width} pixels"
        raise KernelError(f"cannot make {sizes}", _WHERE, "give sides of 1 to 32768 pixels")
    return size


def fill_device_tables(
    tables: int, area_height: int, area_width: int, height: int, width: int, *, stream: int = 0
) -> None:
    """Queue the making of what `preprocess_on_device` needs for areas and outputs of these sizes, once for all of them.

    tables: address of `device_tables_bytes` bytes of the device's memory. Raises KernelError where it cannot be queued.
    """
    status = library.cuda().edgead_cuda_preprocess_tables(
        ctypes.c_void_p(tables), area_height, area_width, height, width, ctypes.c_void_p(stream)
    )
    library.check(status, _WHERE)


def preprocess_on_device(
    frame: FrameStruct, area: Box | None, tables: int, target: int, height: int, width: int, *, stream: int = 0
) -> None:
    """Queue `preprocess_into` on a CUDA stream, on addresses of the device's memory, the frame's planes among them.

    frame: of `frame_struct`. target: uint8 [height, width, 3]. tables: those for the sizes of the area and the target.
    Raises KernelError where it cannot be queued. Returns before it is done.
    """
    status = library.cuda().edgead_cuda_preprocess(
        ctypes.byref(frame),
        ctypes.byref(_area(frame, area)),
        ctypes.c_void_p(tables),
        ctypes.c_void_p(target),
        height,
        width,
        ctypes.c_void_p(stream),
    )
    library.check(status, _WHERE)


def _frame(frame: Any, layout: str) -> FrameStruct:
    """The frame that one array or a pair of planes holds."""
    if not isinstance(frame, tuple):
        return frame_of(frame, layout)
    if layout != "nv12" or len(frame) != 2:
        raise KernelError(
            f"{len(frame)} planes for the layout {layout!r}", _WHERE, "give a pair for nv12, else one array"
        )
    light, chroma = (frame_of(plane, "gray") for plane in _flat(*frame))
    if light.height % 2 or light.width % 2 or (chroma.height * 2, chroma.width) != (light.height, light.width):
        shapes = " and ".join(str(plane.shape) for plane in frame)
        raise KernelError(f"the planes have shapes {shapes}", _WHERE, "give [h, w] and [h / 2, w], h and w even")
    size = light.height, light.width
    held = frame_struct(layout, *size, light.plane, light.pitch, chroma.plane, chroma.pitch)
    held.parts = light, chroma
    return held


def _flat(light: Any, chroma: Any) -> Planes:
    """The pair, with U and V as pixels of one row."""
    if isinstance(chroma, np.ndarray) and chroma.ndim == 3 and chroma.shape[2] == 2:
        chroma = chroma.reshape(chroma.shape[0], -1)
    return light, chroma


def _area(frame: FrameStruct, area: Box | None) -> AreaStruct:
    if area is None:
        return AreaStruct(0, 0, frame.height, frame.width)
    x, y, width, height = map(operator.index, area)
    if min(x, y) < 0 or min(width, height) < 1 or x + width > frame.width or y + height > frame.height:
        size = f"{frame.width} x {frame.height} pixels"
        raise KernelError(
            f"the area {tuple(area)} leaves the frame of {size}", _WHERE, "give x, y, width, height in it"
        )
    return AreaStruct(y, x, height, width)
