"""Neighbour-masked attention on the CPU beside torch's ways, by turns in one run.

python benchmarks/neighbor_masked_attention.py [--threads 2] [--rounds 15]
    [--output benchmarks/results/neighbor_masked_attention.json]

Before each turn there is a pause, and a call that does not count: torch's threads spin for some milliseconds after a
call, and would keep a core from whatever comes next.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from measuring import arguments, medians, processor, write
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from edgead.kernels import Attention, attend

HEADS, WINDOW, PAUSE, SQUARE = 8, 7, 0.03, 1024
SHAPES = [(1, 14, 32), (8, 14, 32), (8, 14, 16), (8, 14, 64), (8, 14, 128), (1, 32, 32), (1, 32, 128)]
"""Images, side of the grid, channels of a head."""

KINDS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FLASH, MATH = SDPBackend.FLASH_ATTENTION, SDPBackend.MATH
OURS = "edgead"


class Way(NamedTuple):
    """Gives [batch, tokens, channels], with those of torch's fused kernels that are allowed."""

    call: Callable[[], Tensor]
    kernels: tuple[SDPBackend, ...] = (FLASH, MATH)


def split(tensor: Tensor) -> Tensor:
    return tensor.unflatten(2, (HEADS, -1)).transpose(1, 2)


def join(tensor: Tensor) -> Tensor:
    return tensor.transpose(1, 2).flatten(2)


def ways(batch: int, side: int, dim: int, kind: str, threads: int) -> dict[str, Way]:
    """All of the same queries, keys and values."""
    torch.manual_seed(0)
    tokens = side * side
    q, k, v = (torch.randn(batch, tokens, HEADS * dim).to(KINDS[kind]) for _ in range(3))
    y, x = torch.arange(tokens) // side, torch.arange(tokens) % side
    hidden = (2 * (y[:, None] - y).abs() < WINDOW) & (2 * (x[:, None] - x).abs() < WINDOW)
    allowed, added = ~hidden, torch.zeros(tokens, tokens, dtype=q.dtype).masked_fill(hidden, float("-inf"))
    problem, out = Attention(batch, HEADS, dim, side, side, WINDOW, WINDOW), torch.empty_like(q)

    def ours() -> Tensor:
        attend(problem, kind, q.data_ptr(), k.data_ptr(), v.data_ptr(), out.data_ptr(), threads=threads)
        return out

    def fused(mask: Tensor) -> Tensor:
        return join(F.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=mask))

    def explicit() -> Tensor:
        scores = (split(q) * dim**-0.5) @ split(k).transpose(-1, -2)
        return join((scores + added).softmax(-1) @ split(v))

    def visible(image: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        dy, dx = query // side - key // side, query % side - key % side
        return (2 * dy.abs() >= WINDOW) | (2 * dx.abs() >= WINDOW)

    blocks = create_block_mask(visible, None, None, tokens, tokens, device="cpu")
    compiled = torch.compile(flex_attention)
    return {
        OURS: Way(ours),
        "SDPA, bool mask": Way(lambda: fused(allowed)),
        "SDPA, bool mask, flash": Way(lambda: fused(allowed), (FLASH,)),
        "SDPA, bool mask, math": Way(lambda: fused(allowed), (MATH,)),
        "SDPA, float mask": Way(lambda: fused(added)),
        "SDPA, float mask, flash": Way(lambda: fused(added), (FLASH,)),
        "SDPA, float mask, math": Way(lambda: fused(added), (MATH,)),
        "matmul, softmax, matmul": Way(explicit),
        "FlexAttention, compiled": Way(lambda: join(compiled(split(q), split(k), split(v), block_mask=blocks))),
    }


def fault(way: Way, answer: Tensor) -> str | None:
    """Why a way cannot be measured here."""
    try:
        with sdpa_kernel(list(way.kernels)):
            torch.testing.assert_close(way.call().float(), answer, rtol=0, atol=0.02)
    except Exception as error:  # noqa: BLE001  # whatever a way says is part of the report
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:90]}"
    return None


def seconds(way: Way) -> float:
    time.sleep(PAUSE)
    with sdpa_kernel(list(way.kernels)):
        way.call()
        begin = time.perf_counter()
        way.call()
        return time.perf_counter() - begin


def measure(shape: tuple[int, int, int], kind: str, threads: int, rounds: int) -> dict[str, Any]:
    """Milliseconds, and what one has to know to judge them."""
    batch, side, dim = shape
    torch.set_num_threads(threads)
    torch.compiler.reset()
    found = ways(*shape, kind, threads)
    answer = found[OURS].call().float().clone()
    faults = {name: why for name, way in found.items() if (why := fault(way, answer))}
    times: dict[str, list[float]] = {name: [] for name in found if name not in faults}
    for _ in range(rounds):
        for name, taken in times.items():
            taken.append(seconds(found[name]))
    tokens, size = side**2, KINDS[kind].itemsize
    return {
        "images": batch,
        "grid": [side, side],
        "window": [WINDOW, WINDOW],
        "heads": HEADS,
        "channels_of_a_head": dim,
        "type": kind,
        "threads": threads,
        "operations": 4 * batch * HEADS * tokens**2 * dim,  # of both products, hidden keys included
        "bytes": 4 * batch * tokens * HEADS * dim * size,
        "milliseconds": {name: statistics.median(taken) * 1e3 for name, taken in times.items()},
        "faults": faults,
    }


def ceiling(threads: int) -> float:
    """GFLOP/s of torch's product of two square matrices of float32."""
    torch.set_num_threads(threads)
    one, other, out = (torch.randn(SQUARE, SQUARE) for _ in range(3))
    return 2e-9 * SQUARE**3 / medians({"mm": lambda: torch.mm(one, other, out=out)}, 15)["mm"]


def show(found: dict[str, Any], limit: float) -> None:
    height, width = found["grid"]
    print(
        f"\n{found['images']} images of {height}x{width} tokens, {HEADS} heads of {found['channels_of_a_head']}, "
        f"{found['type']}, {found['threads']} threads: {found['operations'] / 1e6:.0f} million operations, "
        f"{found['bytes'] / 1e6:.1f} MB"
    )
    base = found["milliseconds"][OURS]
    for name, taken in found["milliseconds"].items():
        speed = found["operations"] / taken / 1e6
        shares = f"{speed / limit:7.0%} of sgemm{taken / base:7.2f} times ours"
        print(f"{name:26}{taken:9.3f} ms{speed:8.0f} GFLOP/s{shares}")
    for name, why in found["faults"].items():
        print(f"{name:26} {why}")


def main() -> None:
    warnings.simplefilter("ignore")
    options = arguments(__doc__).parse_args()
    limits = {threads: ceiling(threads) for threads in sorted({1, options.threads})}
    for threads, limit in limits.items():
        print(f"sgemm of {SQUARE}^2 with {threads} threads: {limit:.0f} GFLOP/s")
    rows = [(shape, "float32", threads) for threads in limits for shape in SHAPES]
    rows += [(SHAPES[1], kind, options.threads) for kind in ("float16", "bfloat16")]
    measured = []
    with torch.inference_mode():
        for shape, kind, threads in rows:
            measured.append(measure(shape, kind, threads, options.rounds))
            show(measured[-1], limits[threads])
    figures = {"torch": torch.__version__, "rounds": options.rounds, "sgemm_gflops": limits, "measured": measured}
    write(options.output, processor(), figures)


if __name__ == "__main__":
    main()
