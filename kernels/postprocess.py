"""What is made of an anomaly map: its connected regions, and the picture of it over its frame.

The definition, with the same bits on every instruction set and device and for any number of threads, is in
`include/edgead/postprocess.h`. The GIL is released meanwhile.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import KernelError
from edgead.kernels import library
from edgead.kernels.frame import FrameStruct, frame_of
from edgead.kernels.output import check_output

Image = NDArray[np.uint8]
Map = NDArray[np.float32]
Colour = tuple[int, int, int]  # red, green, blue

LONGEST = 4096  # pixels of a map's side
REGION = np.dtype(
    [*((name, np.int32) for name in ("left", "top", "width", "height", "area")), ("peak", np.float32)]
)  # `edgead::Region`
WHITE = (255, 255, 255)

_WHERE = "postprocess"
_USUAL = 256  # regions for which there is room at first


def find_regions(anomaly_map: Map, threshold: float) -> NDArray[np.void]:
    """The 8-connected regions of {anomaly_map >= threshold}, `REGION` [n], in the order of their first pixel row by
    row.

    anomaly_map: float32 [h, w], sides up to 4096; NaN is not above. The threshold is rounded to float32. Box, area and
    peak are in the map's pixels and values. Raises KernelError for any other array.
    """
    anomaly_map = _map(anomaly_map)
    count = ctypes.c_int32(_USUAL)
    while True:
        regions = np.empty(count.value, REGION)
        status = library.load().edgead_regions(
            ctypes.c_void_p(anomaly_map.ctypes.data),
            *anomaly_map.shape,
            ctypes.c_float(threshold),
            ctypes.c_void_p(regions.ctypes.data),
            len(regions),
            ctypes.byref(count),
        )
        library.check(status, _WHERE)
        if count.value <= len(regions):
            return regions[: count.value]


def find_regions_on_device(
    anomaly_map: int,
    height: int,
    width: int,
    threshold: float,
    regions: int,
    capacity: int,
    count: int,
    workspace: int,
    *,
    stream: int = 0,
) -> None:
    """Queue `find_regions` on a CUDA stream, on addresses of the device's memory.

    anomaly_map: float32 [height, width]. The first `capacity` regions go to `regions`, `REGION` [capacity], and their
    number, which may be higher, to `count`, int32. workspace: `find_regions_bytes` bytes, nobody else's until it is
    done. Raises KernelError where it cannot be queued.
    """
    address = ctypes.c_void_p
    status = library.cuda().edgead_cuda_regions(
        address(anomaly_map),
        height,
        width,
        ctypes.c_float(threshold),
        address(regions),
        capacity,
        address(count),
        address(workspace),
        address(stream),
    )
    library.check(status, _WHERE)


def find_regions_bytes(height: int, width: int) -> int:
    """Of the workspace that `find_regions_on_device` takes."""
    function = library.cuda().edgead_cuda_regions_bytes
    function.restype = ctypes.c_int64
    return int(function(height, width))


def overlay_into(
    image: Image,
    anomaly_map: Map,
    low: float,
    high: float,
    out: Image,
    *,
    threshold: float | None = None,
    line: Colour = WHITE,
    layout: str = "rgb",
    bgr: bool = False,
    threads: int = 1,
) -> None:
    """The frame with its map over it into `out`, uint8 [H, W, 3], C-contiguous, RGB or with `bgr` BGR: untouched where
    the map is at `low` or below, hottest from `high` on.

    image: uint8 of a layout as `frame_of` takes it, of H x W pixels. anomaly_map: float32 [h, w], sides up to 4096,
    stretched to the frame; NaN is hottest. What is at the threshold or above is outlined in the colour `line`. At most
    `threads` threads work on it. Raises KernelError for any other array, and for an `out` that shares memory with one.
    """
    anomaly_map = _map(anomaly_map)
    frame = frame_of(image, layout)
    shape = (frame.height, frame.width, 3)
    if not isinstance(out, np.ndarray) or out.dtype != np.uint8 or out.shape != shape:
        given = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise KernelError(f"the output is {given}", _WHERE, f"give uint8 {list(shape)}")
    check_output(out, _WHERE, image, anomaly_map)
    library.check_threads(threads, _WHERE)
    status = library.load().edgead_overlay(
        ctypes.byref(frame),
        ctypes.c_void_p(anomaly_map.ctypes.data),
        *anomaly_map.shape,
        *_look(low, high, threshold, line),
        ctypes.c_void_p(out.ctypes.data),
        int(bgr),
        threads,
    )
    library.check(status, _WHERE)


def overlay(
    image: Image,
    anomaly_map: Map,
    low: float,
    high: float,
    *,
    threshold: float | None = None,
    line: Colour = WHITE,
    layout: str = "rgb",
    bgr: bool = False,
    threads: int = 1,
) -> Image:
    """Allocate uint8 [H, W, 3] and `overlay_into` it."""
    frame = frame_of(image, layout)
    out = np.empty((frame.height, frame.width, 3), np.uint8)
    overlay_into(
        image, anomaly_map, low, high, out, threshold=threshold, line=line, layout=layout, bgr=bgr, threads=threads
    )
    return out


def overlay_on_device(
    frame: FrameStruct,
    anomaly_map: int,
    map_height: int,
    map_width: int,
    low: float,
    high: float,
    out: int,
    *,
    threshold: float | None = None,
    line: Colour = WHITE,
    bgr: bool = False,
    stream: int = 0,
) -> None:
    """Queue `overlay_into` on a CUDA stream, on addresses of the device's memory, also those of the frame's planes.

    Raises KernelError where it cannot be queued.
    """
    status = library.cuda().edgead_cuda_overlay(
        ctypes.byref(frame),
        ctypes.c_void_p(anomaly_map),
        map_height,
        map_width,
        *_look(low, high, threshold, line),
        ctypes.c_void_p(out),
        int(bgr),
        ctypes.c_void_p(stream),
    )
    library.check(status, _WHERE)


def _map(anomaly_map: Any) -> Map:
    """The map, contiguous."""
    if not isinstance(anomaly_map, np.ndarray) or anomaly_map.dtype != np.float32:
        kind = getattr(anomaly_map, "dtype", type(anomaly_map).__name__)
        raise KernelError(f"the map is {kind}, not float32", _WHERE, "convert it")
    if anomaly_map.ndim != 2 or not all(1 <= side <= LONGEST for side in anomaly_map.shape):
        raise KernelError(f"the map has shape {anomaly_map.shape}", _WHERE, f"give [h, w], sides of 1 to {LONGEST}")
    return np.require(anomaly_map, requirements=["C", "A"])


def _look(low: float, high: float, threshold: float | None, line: Colour) -> tuple[Any, ...]:
    """low, high, threshold and line as the C interface takes them."""
    red, green, blue = line
    if not all(0 <= channel <= 255 for channel in line):
        raise KernelError(f"the line's colour is {line}", _WHERE, "give red, green and blue of 0 to 255")
    numbers = (low, high, math.nan if threshold is None else threshold)
    return *map(ctypes.c_float, numbers), ctypes.c_uint32(red << 16 | green << 8 | blue)
