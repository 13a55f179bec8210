"""Neighbour-masked attention on a GPU beside torch's: 8 heads of 32 channels on 14x14 and 32x32 tokens, a 7x7 window.

Each way is captured 20 times in a CUDA graph, so that the device is timed and not the host; caches keep what they hold.
The floor is the longer of two times that are measured in the same run: copying the bytes of the four arrays, and doing
as many products and sums in a large product of matrices of the same type. Hidden keys count, too: all multiply them.

NATTEN is not among them: its neighbourhood is what a query attends to, and here it is what it does not see.

python benchmarks/neighbor_masked_attention_gpu.py [--rounds 50] [--output benchmarks/results/attention_gpu.json]
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from measuring import arguments, write
from measuring_gpu import copy_bandwidth, milliseconds
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from edgead.kernels.neighbor_masked_attention import Attention, attend

HEADS, DIM, WINDOW, SIDES, BATCHES = 8, 32, 7, (14, 32), (1, 16, 64)
TYPES = (torch.float16, torch.bfloat16, torch.float32)
BACKENDS = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH")  # the first refuses masks, and says so
REPEATS, MATRIX = 20, 8192


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def problem_of(batch: int, side: int) -> Attention:
    return Attention(batch, HEADS, DIM, side, side, WINDOW, WINDOW)


def operations(problem: Attention) -> int:
    """Products and sums of q k^T and of the weights with v."""
    return 4 * problem.batch * problem.heads * (problem.height * problem.width) ** 2 * problem.dim


def size(problem: Attention, dtype: torch.dtype) -> int:
    """Bytes of the queries, keys, values and answers."""
    return 4 * problem.batch * problem.height * problem.width * problem.heads * problem.dim * dtype.itemsize


def far(problem: Attention) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """FlexAttention's question whether a query sees a key."""
    width, window = problem.width, (problem.neighbor_height, problem.neighbor_width)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        rows, columns = query // width - key // width, query % width - key % width
        return (2 * rows.abs() >= window[0]) | (2 * columns.abs() >= window[1])

    return sees


def mask_of(problem: Attention, device: str) -> Tensor:
    """bool [tokens, tokens]: which keys a query sees."""
    tokens = torch.arange(problem.height * problem.width, device=device)
    return far(problem)(tokens, tokens, tokens[:, None], tokens[None, :])


def ours(problem: Attention, arrays: list[Tensor], out: Tensor) -> None:
    addresses = (array.data_ptr() for array in (*arrays, out))
    attend(problem, name_of(out.dtype), *addresses, stream=torch.cuda.current_stream().cuda_stream)


def ways(problem: Attention, arrays: list[Tensor], out: Tensor) -> dict[str, Callable[[], object]]:
    heads = [array.unflatten(2, (HEADS, DIM)).transpose(1, 2) for array in arrays]
    sees = mask_of(problem, "cuda")
    masks = {"bool": sees, "float": torch.zeros_like(sees, dtype=out.dtype).masked_fill(~sees, float("-inf"))}
    tokens = problem.height * problem.width
    blocks = create_block_mask(far(problem), None, None, tokens, tokens, device="cuda")
    compiled = torch.compile(flex_attention)

    def fused(mask: Tensor, backend: str) -> Tensor:
        with sdpa_kernel(SDPBackend.__members__[backend]):
            return scaled_dot_product_attention(*heads, attn_mask=mask)

    found: dict[str, Callable[[], object]] = {"edgead": lambda: ours(problem, arrays, out)}
    for backend, (kind, mask) in product(BACKENDS, masks.items()):
        found[f"SDPA {backend}, {kind} mask"] = lambda mask=mask, backend=backend: fused(mask, backend)
    found["FlexAttention, compiled"] = lambda: compiled(*heads, block_mask=blocks)
    return found


def microseconds(way: Callable[[], object], rounds: int) -> float | str:
    """Of one call, or why there is none."""
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # what is compiled or chosen at first is not captured
                way()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(REPEATS):
                way()
        return 1e3 * milliseconds(graph.replay, rounds) / REPEATS
    except Exception as error:  # noqa: BLE001  # whatever a way says is part of the table
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:90]}"


def ceiling(dtype: torch.dtype, rounds: int) -> float:
    """Products and sums a second in a product of two square matrices; float32 without TF32."""
    matrices = torch.randn(2, MATRIX, MATRIX, device="cuda").to(dtype)
    return 2e3 * MATRIX**3 / milliseconds(lambda: matrices[0] @ matrices[1], rounds)


def floor(problem: Attention, dtype: torch.dtype, rate: float, bandwidth: float) -> float:
    """Microseconds that it takes at least at so many operations and bytes a second."""
    return 1e6 * max(operations(problem) / rate, size(problem, dtype) / bandwidth)


def measured(problem: Attention, dtype: torch.dtype, rate: float, bandwidth: float, rounds: int) -> dict[str, Any]:
    shape = (3, problem.batch, problem.height * problem.width, HEADS * DIM)
    arrays = list(torch.randn(shape, device="cuda").to(dtype))
    out = torch.empty_like(arrays[0])
    found = ways(problem, arrays, out)
    ours(problem, arrays, out)
    exact = [array.double().unflatten(2, (HEADS, DIM)).transpose(1, 2) for array in arrays]
    with sdpa_kernel(SDPBackend.MATH):
        expected = scaled_dot_product_attention(*exact, attn_mask=mask_of(problem, "cuda")).transpose(1, 2).flatten(2)
    least = floor(problem, dtype, rate, bandwidth)
    taken = {name: microseconds(way, rounds) for name, way in found.items()}
    return {
        "operations": operations(problem),
        "bytes": size(problem, dtype),
        "largest_error": (out - expected).abs().max().item(),
        "microseconds": taken,
        "share_of_the_floor": {name: least / time for name, time in taken.items() if isinstance(time, float)},
    }


def figures(rounds: int = 50) -> dict[str, Any]:
    """Microseconds and shares of the floor of each way, for each type, grid and batch."""
    torch.backends.cuda.matmul.allow_tf32 = False
    bandwidth = copy_bandwidth()
    found: dict[str, Any] = {"copy_bytes_per_second": bandwidth}
    for dtype in TYPES:
        rate = ceiling(dtype, rounds)
        found[f"{name_of(dtype)}, operations_per_second"] = rate
        for side, batch in product(SIDES, BATCHES):
            torch.compiler.reset()
            title = f"{name_of(dtype)}, {side}x{side} tokens, batch {batch}"
            found[title] = measured(problem_of(batch, side), dtype, rate, bandwidth, rounds)
    return found


def main() -> None:
    options = arguments(__doc__, rounds=50).parse_args()
    found = figures(options.rounds)
    for title, cell in found.items():
        if not isinstance(cell, dict):
            print(f"{title}: {cell:.3g}")
            continue
        counted = f"{cell['operations']:.3g} operations, {cell['bytes']:.3g} bytes"
        print(f"\n{title}: {counted}, off by {cell['largest_error']:.1e}")
        for name, time in cell["microseconds"].items():
            share = cell["share_of_the_floor"].get(name)
            print(f"  {name:38} " + (f"{time:9.1f} us {100 * share:5.1f}% of the floor" if share else str(time)))
    write(options.output, torch.cuda.get_device_name(), found)


if __name__ == "__main__":
    main()
