"""The newest of each camera side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath

import cv2
import numpy as np

from edgead.frame import Frame, Image, LostFrame
from edgead.result import Result
from edgead.sinks.view.annotate import annotate
from edgead.sinks.view.heat import Heat

Newest = tuple[Result, Frame] | LostFrame | None

_LEAST = (160, 120)  # pixels of one picture; smaller ones cannot be read
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def wall(cameras: Sequence[str], newest: Sequence[Newest], heat: Heat, width: int, height: int) -> Image:
    """One picture of all cameras, uint8 [height, width, 3] BGR, in rows as long as there are rows, or one longer.

    cameras: their names, at least one. newest: of each the newest verdict, drawn as `annotate` does, the news that its
    newest frame was lost, or None where nothing came yet. heat: the scale of maps. The picture is larger than asked for
    where cameras would get less than 160 x 120 pixels.
    """
    columns = math.ceil(math.sqrt(len(cameras)))
    rows = math.ceil(len(cameras) / columns)
    wide, high = max(width // columns, _LEAST[0]), max(height // rows, _LEAST[1])
    picture = np.zeros((max(rows * high, height), max(columns * wide, width), 3), np.uint8)
    for place, (camera, record) in enumerate(zip(cameras, newest, strict=True)):
        top, left = place // columns * high, place % columns * wide
        if isinstance(record, tuple):
            drawn = annotate(record[0], record[1].image, heat.of(record[0]), wide, high)
        else:
            drawn = _without(camera, record, wide, high)
        picture[top : top + high, left : left + wide] = drawn
    return picture


def _without(camera: str, lost: LostFrame | None, width: int, height: int) -> Image:
    """The place of a camera that has no verdict to show."""
    said = f"NO VERDICT  #{lost.frame_id}  {lost.reason}" if lost else "nothing yet"
    picture = np.full((height, width, 3), 48, np.uint8)  # of no verdict's colour
    for row, text in enumerate((PurePath(camera).name, said)):
        plain = text.encode("ascii", "replace").decode()
        place = (width // 32, height // 2 + row * max(14, height // 16))
        cv2.putText(picture, plain, place, _FONT, max(0.35, height / 900), (255, 255, 255), 1, cv2.LINE_AA)
    return picture
