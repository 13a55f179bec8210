"""CIEDE2000 on a GPU beside the formula in torch, as written and compiled: pictures of 1024 x 1024.

The share is of the lower of two ceilings that are measured in the same run: copying the bytes that it reads and
writes, and doing as many products and sums. OPERATIONS are those of the compiled kernel for a pixel; a quotient or
root counts as eight.
"""

from __future__ import annotations

from typing import Any

import torch
from measuring import arguments, write
from measuring_gpu import arithmetic_ceiling, copy_bandwidth, milliseconds

from edgead.kernels.ciede2000 import ciede2000_on_device
from edgead.training import ciede2000 as operator

SIDE = 1024
PIXELS = SIDE * SIDE
BYTES = {"planar": 28, "interleaved": 28, "recolored": 15}
OPERATIONS = {"planar": 229 + 8 * 19, "interleaved": 229 + 8 * 19, "recolored": 304 + 8 * 16}


def measure(layout: str, count: int) -> float:
    """Milliseconds of the kernel on so many pictures."""
    first = 100 * torch.rand(count, 3, PIXELS, device="cuda")
    second = 100 * torch.rand(count, 2 if layout == "recolored" else 3, PIXELS, device="cuda")
    if layout == "recolored":
        first = (2.55 * first).to(torch.uint8)
    out = torch.empty(count, PIXELS, device="cuda")
    pitches = first[0].numel(), second[0].numel()

    def run() -> None:
        ciede2000_on_device(
            layout,
            first.data_ptr(),
            pitches[0],
            second.data_ptr(),
            pitches[1],
            out.data_ptr(),
            count=count,
            pixels=PIXELS,
            stream=torch.cuda.current_stream().cuda_stream,
        )

    return milliseconds(run)


def figures() -> dict[str, Any]:
    """Gigapixels a second, the ceilings, and the share of the lower one."""
    bandwidth, arithmetic = copy_bandwidth(), arithmetic_ceiling()
    found: dict[str, Any] = {"copy_bytes_per_second": bandwidth, "unfused_operations_per_second": arithmetic}
    for layout, size in BYTES.items():
        for count in (1, 64):
            rate = 1e3 * PIXELS * count / measure(layout, count)
            ceilings = [bandwidth / size, *([] if arithmetic is None else [arithmetic / OPERATIONS[layout]])]
            found[f"{layout}, {count} pictures"] = {
                "gigapixels_per_second": rate / 1e9,
                "share_of_the_lower_ceiling": rate / min(ceilings),
            }
    labs = [100 * torch.rand(8, 3, SIDE, SIDE, device="cuda") for _ in range(2)]
    found["formula in torch, gigapixels_per_second"] = (
        8e-6 * PIXELS / milliseconds(lambda: operator._formula(*labs), rounds=10)
    )
    compiled = torch.compile(operator._formula)
    found["formula compiled by torch, gigapixels_per_second"] = 8e-6 * PIXELS / milliseconds(lambda: compiled(*labs))
    return found


def main() -> None:
    options = arguments(__doc__).parse_args()
    found = figures()
    for name, figure in found.items():
        print(f"{name}: {figure}")
    write(options.output, torch.cuda.get_device_name(), found)


if __name__ == "__main__":
    main()
