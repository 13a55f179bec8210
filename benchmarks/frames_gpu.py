"""Frames on a GPU, 1920 x 1080: preprocess to 256 x 256, regions of a 256 x 256 map, and the overlay on the frame.

Beside each is what one would otherwise call: torch's antialiased resize, and OpenCV's regions after bringing the map to
the host. Bytes are counted that have to be read and written; the share is of copying as many within the device.

python benchmarks/frames_gpu.py [--rounds 50] [--output benchmarks/results/frames_gpu.json]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from measuring import arguments, write
from measuring_gpu import copy_bandwidth, milliseconds
from torch.nn import functional as F

from edgead.kernels.frame import frame_struct
from edgead.kernels.postprocess import REGION, find_regions_bytes, find_regions_on_device, overlay_on_device
from edgead.kernels.preprocess import device_tables_bytes, fill_device_tables, preprocess_on_device

HEIGHT, WIDTH, SIDE, THRESHOLD = 1080, 1920, 256, 0.6
LAYOUTS = {"bgr": 3.0, "gray": 1.0, "nv12": 1.5, "yuyv": 2.0}  # bytes of a pixel
CAPACITY = (SIDE // 2) ** 2

Way = Callable[[], object]


def device_bytes(size: int) -> torch.Tensor:
    return torch.randint(0, 256, (size,), dtype=torch.uint8, device="cuda")


def stream() -> int:
    return int(torch.cuda.current_stream().cuda_stream)


def preprocess(layout: str) -> Way:
    memory = device_bytes(int(HEIGHT * WIDTH * LAYOUTS[layout]))
    pitch = WIDTH if layout == "nv12" else memory.numel() // HEIGHT
    chroma = memory.data_ptr() + HEIGHT * WIDTH if layout == "nv12" else 0
    frame = frame_struct(layout, HEIGHT, WIDTH, memory.data_ptr(), pitch, chroma, WIDTH)
    tables, target = device_bytes(device_tables_bytes(HEIGHT, WIDTH, SIDE, SIDE)), device_bytes(SIDE * SIDE * 3)
    fill_device_tables(tables.data_ptr(), HEIGHT, WIDTH, SIDE, SIDE, stream=stream())

    def run() -> torch.Tensor:
        preprocess_on_device(frame, None, tables.data_ptr(), target.data_ptr(), SIDE, SIDE, stream=stream())
        return memory  # which has to live as long as this

    return run


def torchs_resize() -> Way:
    frame = device_bytes(HEIGHT * WIDTH * 3).view(1, HEIGHT, WIDTH, 3)

    def run() -> torch.Tensor:
        planes = frame.permute(0, 3, 1, 2).float()
        return F.interpolate(planes, (SIDE, SIDE), mode="bilinear", antialias=True).round().to(torch.uint8)

    return run


def blobs() -> torch.Tensor:
    """A smooth map with some dozens of regions above the threshold."""
    noise = torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    return F.interpolate(noise, (SIDE, SIDE), mode="bicubic")[0, 0].cuda().contiguous()


def regions() -> Way:
    heat, found = blobs(), device_bytes(CAPACITY * REGION.itemsize)
    count, work = device_bytes(4), device_bytes(find_regions_bytes(SIDE, SIDE))

    def run() -> None:
        places = (found.data_ptr(), CAPACITY, count.data_ptr(), work.data_ptr())
        find_regions_on_device(heat.data_ptr(), SIDE, SIDE, THRESHOLD, *places, stream=stream())

    return run


def regions_on_the_host() -> Way:
    heat = blobs()

    def run() -> object:
        return cv2.connectedComponentsWithStats((heat.cpu().numpy() >= THRESHOLD).astype(np.uint8))

    return run


def overlay() -> Way:
    heat, memory, out = blobs(), device_bytes(HEIGHT * WIDTH * 3), device_bytes(HEIGHT * WIDTH * 3)
    frame = frame_struct("bgr", HEIGHT, WIDTH, memory.data_ptr(), WIDTH * 3)

    def run() -> torch.Tensor:
        where = (heat.data_ptr(), SIDE, SIDE, 0.0, 1.0, out.data_ptr())
        overlay_on_device(frame, *where, threshold=THRESHOLD, bgr=True, stream=stream())
        return memory

    return run


def figures(rounds: int = 50) -> dict[str, Any]:
    """Microseconds, and for ours the share of the copy bandwidth."""
    bandwidth = copy_bandwidth()
    ours = {
        f"preprocess, {layout}": (preprocess(layout), HEIGHT * WIDTH * size + SIDE * SIDE * 3)
        for layout, size in LAYOUTS.items()
    }
    ours["regions"] = (regions(), 4.0 * SIDE * SIDE)
    ours["overlay"] = (overlay(), 6.0 * HEIGHT * WIDTH + 4 * SIDE * SIDE)
    others = {"torch, antialiased resize of bgr": torchs_resize(), "OpenCV, regions on the host": regions_on_the_host()}
    found: dict[str, Any] = {"copy_bytes_per_second": bandwidth}
    for name, (way, size) in ours.items():
        taken = milliseconds(way, rounds)
        found[name] = {"microseconds": 1e3 * taken, "share_of_copying": size / bandwidth / (1e-3 * taken)}
    return found | {name: {"microseconds": 1e3 * milliseconds(way, rounds)} for name, way in others.items()}


def main() -> None:
    options = arguments(__doc__, rounds=50).parse_args()
    found = figures(options.rounds)
    for name, figure in found.items():
        print(f"{name}: {figure}")
    write(options.output, torch.cuda.get_device_name(), found)


if __name__ == "__main__":
    main()
