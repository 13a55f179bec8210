"""From a camera's frame to the graph's input beside OpenCV's conversion and area resize, by turns in one run:
1920 x 1080 to 256 x 256.

python benchmarks/preprocess.py [--threads 2] [--rounds 15] [--output benchmarks/results/preprocess.json]
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from measuring import arguments, copy_bandwidth, medians, processor, write
from numpy.typing import NDArray
from PIL import Image

from edgead.kernels import preprocess_into

HEIGHT, WIDTH, SIDE = 1080, 1920, 256
SHAPES = {
    "bgr": (HEIGHT, WIDTH, 3),
    "gray": (HEIGHT, WIDTH),
    "nv12": (HEIGHT * 3 // 2, WIDTH),
    "yuyv": (HEIGHT, WIDTH, 2),
}
CODES = {
    "bgr": cv2.COLOR_BGR2RGB,
    "gray": cv2.COLOR_GRAY2RGB,
    "nv12": cv2.COLOR_YUV2RGB_NV12,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}


def by_opencv(frame: NDArray[np.uint8], layout: str, threads: int) -> object:
    """In the quicker order: what has one or three channels is resized first."""
    cv2.setNumThreads(threads)
    size, code = (SIDE, SIDE), CODES[layout]
    if layout in ("bgr", "gray"):
        return cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), code)
    return cv2.resize(cv2.cvtColor(frame, code), size, interpolation=cv2.INTER_AREA)


def ways(threads: int) -> dict[str, Callable[[], object]]:
    """Ours and theirs for each layout and number of threads."""
    random = np.random.default_rng(0)
    frames = {layout: random.integers(0, 256, shape, np.uint8) for layout, shape in SHAPES.items()}
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    found: dict[str, Callable[[], object]] = {}
    for layout, frame in frames.items():
        for count in sorted({1, threads}):
            found |= {
                f"{layout}, {count} threads": lambda f=frame, form=layout, n=count: preprocess_into(
                    f, out, layout=form, threads=n
                ),
                f"{layout}, {count} threads, OpenCV": lambda f=frame, form=layout, n=count: by_opencv(f, form, n),
            }
    photo = Image.fromarray(frames["bgr"])
    found["bgr, 1 threads, Pillow"] = lambda: np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return found


def main() -> None:
    options = arguments(__doc__).parse_args()
    taken = medians(ways(options.threads), options.rounds)
    copied = copy_bandwidth()
    moved = {layout: int(np.prod(shape)) + SIDE * SIDE * 3 for layout, shape in SHAPES.items()}
    rates = {name: moved[name.split(",")[0]] / seconds for name, seconds in taken.items()}
    for name, seconds in taken.items():
        ours = taken[name.rsplit(", ", 1)[0]] if name.count(",") == 2 else seconds
        times = f"{seconds / ours:5.2f} times ours" if name.count(",") == 2 else ""
        print(f"{name:26} {seconds * 1e3:6.2f} ms {rates[name] / 1e9:5.1f} GB/s {times}")
    print(f"{'np.copyto, 64 MiB':26} {'':9} {copied / 1e9:5.1f} GB/s")
    figures = {
        "frame": [HEIGHT, WIDTH],
        "output": [SIDE, SIDE],
        "rounds": options.rounds,
        "bytes": moved,
        "milliseconds": {name: seconds * 1e3 for name, seconds in taken.items()},
        "gigabytes_per_second": {name: rate / 1e9 for name, rate in rates.items()},
        "copy_gigabytes_per_second": copied / 1e9,
    }
    write(options.output, processor(), figures)


if __name__ == "__main__":
    main()
