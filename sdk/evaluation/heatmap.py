"""An anomaly map laid over its image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

STRONGEST = 0.65  # how much of the picture the hottest spots hide
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

    image_rgb: uint8 [H, W, 3]. anomaly_map: float32 [h, w], stretched to the image. mask: bool [h, w], outlined where
    given. A value that is not a number is shown as hottest.
    """
    height, width = image_rgb.shape[:2]
    span = max(high - low, float(np.finfo(np.float32).tiny))
    heat = np.clip((anomaly_map.astype(np.float32) - low) / span, 0, 1)
    heat = cv2.resize(np.nan_to_num(heat, nan=1.0), (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((heat * 255).round().astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    # Faint heat is let through less than its share, so that a good part looks like its photo.
    weight = (STRONGEST * np.minimum(1, 1.5 * heat))[:, :, None]
    picture: NDArray[np.uint8] = (image_rgb * (1 - weight) + colours * weight).round().astype(np.uint8)
    return picture if mask is None else outline(picture, mask, OUTLINE)


def outline(image_rgb: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A copy of the image with a line around each region of the mask, bool [h, w], stretched to the image."""
    height, width = image_rgb.shape[:2]
    large = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    picture = np.array(image_rgb)
    cv2.drawContours(picture, contours, -1, colour, max(1, round(min(height, width) / 160)))
    return picture
