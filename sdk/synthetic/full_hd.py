"""A video of 1920 x 1080 pixels to measure with: what it shows matters less than what it costs to decode."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from edgead.errors import DataError
from edgead.progress import Progress, silent
from edgead.synthetic.line import frames as line_frames

WIDTH, HEIGHT = 1920, 1080
_DISTINCT = 16  # parts that are rendered; they come by again and again


def write_full_hd(
    path: Path, *, frames: int = 200, fps: float = 25.0, seed: int = 1, progress: Progress = silent
) -> Path:
    """Film rendered parts, each filling the height of the frame. Raises DataError where the video cannot be written."""
    parts = []
    for image, _ in islice(line_frames(seed=seed, size=512), min(_DISTINCT, frames)):
        canvas = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        left = (WIDTH - HEIGHT) // 2
        canvas[:, left : left + HEIGHT] = cv2.resize(image, (HEIGHT, HEIGHT), interpolation=cv2.INTER_CUBIC)
        parts.append(canvas)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (WIDTH, HEIGHT))
    try:
        if not writer.isOpened():
            raise DataError("the video cannot be written", path, "check the folder")
        for index, canvas in enumerate(islice(cycle(parts), frames)):
            writer.write(canvas)
            progress("rendering a video", index + 1, frames)
    finally:
        writer.release()
    return path
