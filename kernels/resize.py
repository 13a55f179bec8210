"""Antialiased bilinear resize with half-pixel centres: the one that training, calibration, evaluation and cameras
share.

The definition, in integers and therefore with the same bits everywhere, is in `include/edgead/resize.h`.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from edgead.errors import KernelError
from edgead.kernels import library

Image = NDArray[np.uint8]


def _pixels(image: Image) -> Image:
    """`image` as [h, w, channels] with contiguous pixels; rows may be apart (a crop, a padded frame)."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise KernelError(f"the image is {kind}, not uint8", "resize", "convert it to 8 bit")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or image.size == 0:
        raise KernelError(f"the image has shape {image.shape}", "resize", "give [h, w], [h, w, 1] or [h, w, 3]")
    contiguous = image.strides[2] == 1 and image.strides[1] == image.shape[2] and image.strides[0] >= 0
    return image if contiguous else np.ascontiguousarray(image)


def resize_into(image: Image, out: Image, *, swap_channels: bool = False) -> None:
    """Resize `image`, uint8 [h, w, 3], [h, w, 1] or [h, w], into `out`, uint8 [height, width, 3], C-contiguous.

    Gray becomes three equal channels. `swap_channels` exchanges the first and the third (BGR <-> RGB). Sides up to
    32768. Raises KernelError for any other array.
    """
    image = _pixels(image)
    if out.dtype != np.uint8 or out.ndim != 3 or out.shape[2] != 3 or not out.flags.c_contiguous:
        raise KernelError(
            f"the output is {out.dtype} {out.shape}", "resize", "give uint8 [height, width, 3], contiguous"
        )
    height, width, channels = image.shape
    status = library.load().edgead_resize_u8(
        ctypes.c_void_p(image.ctypes.data),
        ctypes.c_int64(image.strides[0]),
        height,
        width,
        channels,
        int(swap_channels),
        ctypes.c_void_p(out.ctypes.data),
        out.shape[0],
        out.shape[1],
    )
    library.check(status, "resize")


def resize(image: Image, height: int, width: int, *, swap_channels: bool = False) -> Image:
    """Allocate uint8 [height, width, 3] and `resize_into` it."""
    if height < 1 or width < 1:
        raise KernelError(f"the size {height} x {width} is empty", "resize", "give sides of at least 1 pixel")
    out = np.empty((height, width, 3), np.uint8)
    resize_into(image, out, swap_channels=swap_channels)
    return out
