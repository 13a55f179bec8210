"""The resize beside OpenCV's and Pillow's, one thread, by turns: 1920 x 1080 to 256 x 256."""

from __future__ import annotations

import statistics
import time

import cv2
import numpy as np
from PIL import Image

from edgead.kernels import resize

frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
ways = {
    "edgead": lambda: resize(frame, 256, 256),
    "OpenCV area": lambda: cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA),
    "Pillow bilinear": lambda: np.asarray(Image.fromarray(frame).resize((256, 256), Image.Resampling.BILINEAR)),
}
cv2.setNumThreads(1)
times: dict[str, list[float]] = {name: [] for name in ways}
for _ in range(30):
    for name, way in ways.items():
        begin = time.perf_counter()
        way()
        times[name].append(time.perf_counter() - begin)
ours = statistics.median(times["edgead"])
for name, taken in times.items():
    print(f"{name:16} {statistics.median(taken) / ours:5.2f} times the time of edgead's")
