"""The picture of a result, as the page shows it."""

from __future__ import annotations

import cv2
import numpy as np

from edgead.evaluation.heatmap import overlay
from edgead.frame import Image
from edgead.result import Result

QUALITY = 80
_BOX = (40, 40, 230)  # BGR
_EDGE = (255, 255, 255)


def annotated(result: Result, image: Image, scale: tuple[float, float], longest: int) -> Image:
    """The whole frame with heat map and boxes, uint8 [h, w, 3] BGR, its longer side at most `longest` pixels.

    image: uint8 [H, W, 3] BGR or [H, W] gray. scale: the raw values of the anomaly map that are shown as nothing and
    as the hottest, unless the result brings its overlay. Nothing is added around the frame, so that a share of the
    picture's width is a share of the frame's.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 or image.shape[2] == 1 else image
    ratio = min(1.0, longest / max(bgr.shape[:2]))
    size = (max(1, round(bgr.shape[1] * ratio)), max(1, round(bgr.shape[0] * ratio)))
    shown = bgr if result.overlay is None else result.overlay
    picture = _shrunk(np.asarray(shown, np.uint8), size)
    if result.overlay is None and result.anomaly_map.size:
        rgb = np.ascontiguousarray(picture[..., ::-1])
        picture = np.ascontiguousarray(overlay(rgb, result.anomaly_map, *scale, mask=result.pred_mask)[..., ::-1])
    for region in result.regions:
        x, y, wide, high = (round(value * ratio) for value in region.box)
        cv2.rectangle(picture, (x - 1, y - 1), (x + wide + 1, y + high + 1), _EDGE, 4)  # seen on any ground
        cv2.rectangle(picture, (x - 1, y - 1), (x + wide + 1, y + high + 1), _BOX, 2)
    return picture


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    """The image at (width, height): halved as often as it goes, which OpenCV does fast, and then interpolated. Full HD
    to 800 pixels takes a fifth of what averaging over areas takes, and looks the same."""
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        even = image[: 2 * half[1], : 2 * half[0]]
        image = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def jpeg(picture: Image) -> bytes:
    """The picture as a JPEG file."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("OpenCV cannot encode a JPEG")
    return data.tobytes()
