"""An anomaly map laid over its image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgead.kernels import postprocess

OUTLINE = (255, 255, 255)


def overlay(
    image_rgb: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    low: float,
    high: float,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The image with its map over it, uint8 [H, W, 3] RGB: untouched where the map is at `low` or below, hottest from
    `high` on.

    image_rgb: uint8 [H, W, 3]. anomaly_map: float32 [h, w], stretched to the image. mask: bool, of any size, stretched
    as well and outlined where given. A value that is not a number is shown as hottest.
    """
    picture = postprocess.overlay(image_rgb, anomaly_map, low, high)
    return picture if mask is None else outline(picture, mask, OUTLINE)


def outline(image_rgb: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A copy of the image with a line around each region of the mask, bool [h, w], stretched to the image."""
    cold = mask.astype(np.float32) - 1  # nothing of it is above 0
    return postprocess.overlay(image_rgb, cold, 0, 1, threshold=0, line=colour)
