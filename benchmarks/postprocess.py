"""Regions of an anomaly map of 256 x 256 beside OpenCV's connected components, and its overlay on 1920 x 1080 beside
OpenCV's resize and colours with NumPy's blend, by turns in one run.

python benchmarks/postprocess.py [--threads 2] [--rounds 15] [--output benchmarks/results/postprocess.json]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from measuring import arguments, copy_bandwidth, medians, processor, write
from numpy.typing import NDArray

from edgead.kernels import find_regions, overlay_into

HEIGHT, WIDTH, SIDE = 1080, 1920, 256
LOW, HIGH = 0.0, 2.0
SHAPES = {
    "rgb": (HEIGHT, WIDTH, 3),
    "gray": (HEIGHT, WIDTH),
    "nv12": (HEIGHT * 3 // 2, WIDTH),
    "yuyv": (HEIGHT, WIDTH, 2),
}
Map = NDArray[np.float32]


def smooth_map() -> Map:
    """Of mean 0 and deviation 1, in blobs of some ten pixels."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(SIDE, SIDE)), (0, 0), 8)
    return np.asarray(noise / noise.std(), np.float32)


def regions_by_opencv(anomaly_map: Map, threshold: float) -> object:
    mask = anomaly_map >= threshold
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    peaks = np.full(count, -np.inf, np.float32)
    np.maximum.at(peaks, np.asarray(labels, np.intp)[mask], anomaly_map[mask])
    return stats, peaks


def overlay_by_opencv(image: NDArray[np.uint8], anomaly_map: Map, threshold: float | None) -> object:
    height, width = image.shape[:2]
    heat = np.clip((anomaly_map - np.float32(LOW)) / np.float32(HIGH - LOW), 0, 1)
    heat = cv2.resize(np.nan_to_num(heat, nan=1.0), (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((heat * 255).round().astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    weight = (np.float32(0.65) * np.minimum(1, np.float32(1.5) * heat))[:, :, None]
    picture = (image * (1 - weight) + colours * weight).round().astype(np.uint8)
    if threshold is not None:
        mask = cv2.resize((anomaly_map >= threshold).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, (255, 255, 255), max(1, round(min(height, width) / 160)))
    return picture


def ways(threads: int) -> dict[str, Callable[[], object]]:
    cv2.setNumThreads(1)
    random = np.random.default_rng(1)
    maps = {"smooth": smooth_map(), "noise": random.normal(size=(SIDE, SIDE)).astype(np.float32)}
    found: dict[str, Callable[[], object]] = {}
    for name, anomaly_map in maps.items():
        found[f"regions of {name}"] = partial(find_regions, anomaly_map, 1.0)
        found[f"regions of {name}, OpenCV"] = partial(regions_by_opencv, anomaly_map, 1.0)
    frames = {layout: random.integers(0, 256, shape, np.uint8) for layout, shape in SHAPES.items()}
    out, shown = np.empty((HEIGHT, WIDTH, 3), np.uint8), maps["smooth"]

    def draw(layout: str, threshold: float | None, count: int) -> None:
        overlay_into(frames[layout], shown, LOW, HIGH, out, threshold=threshold, layout=layout, threads=count)

    for what, threshold in (("overlay", None), ("overlay and outline", 1.0)):
        for count in sorted({1, threads}):
            for layout in frames:
                found[f"{what}, {layout}, {count} threads"] = partial(draw, layout, threshold, count)
        found[f"{what}, rgb, OpenCV"] = partial(overlay_by_opencv, frames["rgb"], shown, threshold)
    return found


def main() -> None:
    options = arguments(__doc__).parse_args()
    taken = medians(ways(options.threads), options.rounds)
    for name, seconds in taken.items():
        print(f"{name:39} {seconds * 1e3:8.3f} ms")
    figures = {
        "map": [SIDE, SIDE],
        "frame": [HEIGHT, WIDTH],
        "rounds": options.rounds,
        "milliseconds": {name: seconds * 1e3 for name, seconds in taken.items()},
        "copy_gigabytes_per_second": copy_bandwidth() / 1e9,
    }
    write(options.output, processor(), figures)


if __name__ == "__main__":
    main()
