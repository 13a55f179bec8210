"""Antialiased bilinear resize with half-pixel centres: the one that training, calibration, evaluation and cameras
share.

The definition, in integers and therefore with the same bits everywhere, is in `include/edgead/resize.h`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgead.errors import KernelError
from edgead.kernels.preprocess import preprocess_into

Image = NDArray[np.uint8]


def resize_into(image: Image, out: Image, *, swap_channels: bool = False) -> None:
    """Resize `image`, uint8 [h, w, 3], [h, w, 1] or [h, w], into `out`, uint8 [height, width, 3], C-contiguous.

    Gray becomes three equal channels. `swap_channels` exchanges the first and the third (BGR <-> RGB). Sides up to
    32768. Raises KernelError for any other array.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise KernelError(f"the image is {kind}, not uint8", "resize", "convert it to 8 bit")
    gray = image.ndim == 2 or image.shape[2:] == (1,)
    if not gray and image.shape[2:] != (3,):
        raise KernelError(f"the image has shape {image.shape}", "resize", "give [h, w], [h, w, 1] or [h, w, 3]")
    preprocess_into(image, out, layout="gray" if gray else "bgr" if swap_channels else "rgb")


def resize(image: Image, height: int, width: int, *, swap_channels: bool = False) -> Image:
    """Allocate uint8 [height, width, 3] and `resize_into` it."""
    if height < 1 or width < 1:
        raise KernelError(f"the size {height} x {width} is empty", "resize", "give sides of at least 1 pixel")
    out = np.empty((height, width, 3), np.uint8)
    resize_into(image, out, swap_channels=swap_channels)
    return out
