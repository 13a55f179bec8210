"""CIEDE2000 beside scikit-image's and our formula in torch, by turns in one run: 1024 x 1024 colours.

python benchmarks/ciede2000.py [--threads 2] [--rounds 15] [--output benchmarks/results/ciede2000.json]
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from measuring import arguments, medians, processor, write
from skimage.color import deltaE_ciede2000

from edgead.kernels import ciede2000_into, ciede2000_planar_into, ciede2000_recolored_into
from edgead.training import ciede2000 as operator

SIDE = 1024
PIXELS = SIDE * SIDE


def ways(threads: int) -> dict[str, Callable[[], object]]:
    """Each computes the same million differences, except that the photograph's have the lightness of one of the two."""
    random = np.random.default_rng(0)
    first, second = random.uniform((0, -128, -128), (100, 127, 127), (2, SIDE, SIDE, 3))
    pair = first.astype(np.float32), second.astype(np.float32)
    planes = [np.ascontiguousarray(np.moveaxis(lab, -1, 0)[None]) for lab in pair]
    tensors = [torch.from_numpy(lab) for lab in planes]
    rgb, ab = random.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8), np.ascontiguousarray(planes[1][:, 1:])
    out = np.empty((SIDE, SIDE), np.float32)
    found: dict[str, Callable[[], object]] = {}
    for count in sorted({1, threads}):
        found |= {
            f"planar, {count} threads": lambda n=count: ciede2000_planar_into(*planes, out[None, None], threads=n),
            f"interleaved, {count} threads": lambda n=count: ciede2000_into(*pair, out, threads=n),
            f"photograph, {count} threads": lambda n=count: ciede2000_recolored_into(rgb, ab, out[None], threads=n),
        }

    def formula() -> object:
        torch.set_num_threads(threads)
        return operator._formula(*tensors)

    found |= {
        f"formula in torch, {threads} threads": formula,
        "scikit-image float32": lambda: deltaE_ciede2000(*pair),
        "scikit-image float64": lambda: deltaE_ciede2000(first, second),
    }
    return found


def main() -> None:
    options = arguments(__doc__).parse_args()
    taken = medians(ways(options.threads), options.rounds)
    base = taken["scikit-image float32"]
    for name, seconds in taken.items():
        print(f"{name:29} {PIXELS / seconds / 1e6:7.1f} Mpixel/s {base / seconds:6.1f} times scikit-image float32")
    figures = {
        "pixels": PIXELS,
        "rounds": options.rounds,
        "megapixels_per_second": {name: PIXELS / seconds / 1e6 for name, seconds in taken.items()},
        "times_scikit_image_float32": {name: base / seconds for name, seconds in taken.items()},
    }
    write(options.output, processor(), figures)


if __name__ == "__main__":
    main()
