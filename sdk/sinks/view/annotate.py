"""Drawing a verdict onto its frame."""

from __future__ import annotations

from pathlib import PurePath

import cv2
import numpy as np

from edgead.evaluation.heatmap import overlay
from edgead.frame import Image
from edgead.result import Result, Verdict

_COLOURS = {Verdict.ACCEPT: (70, 160, 40), Verdict.WARN: (0, 165, 255), Verdict.REJECT: (40, 40, 210)}  # BGR
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(result: Result, image: Image, scale: tuple[float, float], width: int, height: int) -> Image:
    """The frame with heat map, boxes and a verdict banner above it, uint8 [height, width, 3] BGR.

    image: uint8 [h, w, 3] BGR or [h, w] gray. scale: the raw values of the anomaly map that are shown as nothing and
    as the hottest, unless the result brings its overlay. A frame of another shape than the picture keeps its
    proportions, on black.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 or image.shape[2] == 1 else image
    banner = max(24, height // 16)
    ratio = min(width / bgr.shape[1], (height - banner) / bgr.shape[0])
    inner = (max(1, round(bgr.shape[1] * ratio)), max(1, round(bgr.shape[0] * ratio)))
    shown = bgr if result.overlay is None else result.overlay
    small = np.asarray(cv2.resize(shown, inner, interpolation=cv2.INTER_AREA), np.uint8)
    if result.overlay is None and result.anomaly_map.size:
        rgb = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)
        heated = overlay(rgb, result.anomaly_map, *scale, mask=result.pred_mask)
        small = np.asarray(cv2.cvtColor(heated, cv2.COLOR_RGB2BGR), np.uint8)
    picture = np.zeros((height, width, 3), np.uint8)
    left = (width - inner[0]) // 2
    picture[banner : banner + inner[1], left : left + inner[0]] = small
    for region in result.regions:
        x, y, wide, high = (value * ratio for value in region.box)
        corner, other = (left + round(x), banner + round(y)), (left + round(x + wide), banner + round(y + high))
        cv2.rectangle(picture, corner, other, _COLOURS[Verdict.REJECT], 2)
    picture[:banner] = _COLOURS[result.verdict]
    taken = _write(picture, f"{result.verdict.value.upper()}  {result.pred_score:.3f}", banner)
    _write(picture, f"{PurePath(result.source).name}  #{result.frame_id}", banner, beside=taken)
    return picture


def _write(picture: Image, text: str, banner: int, *, beside: int | None = None) -> int:
    """Write at the left, or at the right as much of the end of a text as has room beside so many pixels; returns how
    many pixels it takes."""
    size = banner / 40
    thickness = max(1, round(size * 2))
    margin = banner // 4
    plain = text.encode("ascii", "replace").decode()  # the built-in font knows ASCII alone
    while True:
        wide = cv2.getTextSize(plain, _FONT, size, thickness)[0][0] + 2 * margin
        if beside is None or not plain or wide + beside <= picture.shape[1]:
            break
        plain = plain[1:]
    x = margin if beside is None else picture.shape[1] - wide + margin
    cv2.putText(picture, plain, (x, round(banner * 0.7)), _FONT, size, (255, 255, 255), thickness, cv2.LINE_AA)
    return wide
