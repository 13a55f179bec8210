"""Frames and areas as the C interface takes them: the structures of `include/edgead/frame.h`."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from edgead.errors import KernelError

LAYOUTS = {"bgr": 0, "rgb": 1, "gray": 2, "nv12": 3, "yuyv": 4}


class FrameStruct(ctypes.Structure):
    """`edgead::Frame`."""

    kept: NDArray[np.uint8] | None = None  # the array that holds the planes, where there is one

    _fields_ = (
        ("plane", ctypes.c_void_p),
        ("pitch", ctypes.c_int64),
        ("chroma", ctypes.c_void_p),
        ("chroma_pitch", ctypes.c_int64),
        ("layout", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
    )


class AreaStruct(ctypes.Structure):
    """`edgead::Area`."""

    _fields_ = (
        ("top", ctypes.c_int32),
        ("left", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
    )


def frame_struct(
    layout: str, height: int, width: int, plane: int, pitch: int, chroma: int = 0, chroma_pitch: int = 0
) -> FrameStruct:
    """A frame of `height` x `width` pixels at these addresses, of the host or of a device; pitches are in bytes.

    layout: one of `LAYOUTS`. `chroma` is for nv12 alone. Raises KernelError for another layout.
    """
    if layout not in LAYOUTS:
        raise KernelError(f"there is no layout {layout!r}", "a frame", f"give one of {', '.join(LAYOUTS)}")
    return FrameStruct(plane, pitch, chroma, chroma_pitch, LAYOUTS[layout], height, width)


def frame_of(image: NDArray[np.uint8], layout: str) -> FrameStruct:
    """The frame that an array of the host holds; it keeps the array, or a copy where that is not in order inside a row.

    image: uint8, for a frame of h x w pixels [h, w, 3] (bgr, rgb), [h, w] or [h, w, 1] (gray), [h, w, 2] (yuyv, w
    even), or [h + h / 2, w], Y above the pairs of U and V (nv12, h and w even); rows may be apart. Raises KernelError
    for any other array and for another layout.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise KernelError(f"the frame is {kind}, not uint8", "a frame", "convert it to 8 bit")
    flat = layout in ("gray", "nv12")
    if flat and image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    last = {"yuyv": 2}.get(layout, 3)
    if image.size == 0 or image.ndim != (2 if flat else 3) or not (flat or image.shape[2] == last):
        wanted = "[h, w]" if flat else f"[h, w, {last}]"
        raise KernelError(f"the frame has shape {image.shape}", "a frame", f"give {wanted} for {layout}")
    in_order = image[:1].flags.c_contiguous and (len(image) == 1 or image.strides[0] >= image[0].nbytes)
    image = image if in_order else np.array(image, order="C")
    rows, width = image.shape[:2]
    height = rows // 3 * 2 if layout == "nv12" else rows
    if (layout in ("nv12", "yuyv") and width % 2) or (layout == "nv12" and (rows % 3 or height % 2)):
        raise KernelError(f"the frame has shape {image.shape}", "a frame", f"give sides that {layout} can have")
    plane, pitch = image.ctypes.data, image.strides[0] if rows > 1 else image.nbytes
    chroma = (plane + height * pitch, pitch) if layout == "nv12" else (0, 0)
    frame = frame_struct(layout, height, width, plane, pitch, *chroma)
    frame.kept = image
    return frame
