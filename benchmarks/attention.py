"""Ways to compute neighbour-masked attention, by turns: 8 x 14x14 tokens of 256 channels, 8 heads, a 7x7 window.

usage: OMP_NUM_THREADS=1 python benchmarks/attention.py
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from edgead.training.operators import attention_with_dropout, neighbor_mask, neighbor_masked_attention

BATCH, SIDE, CHANNELS, HEADS, WINDOW, DROPOUT, ROUNDS = 8, 14, 256, 8, 7, 0.1, 12
TOKENS, SCALE = SIDE * SIDE, (CHANNELS // HEADS) ** -0.5

torch.manual_seed(0)
inputs = [torch.randn(BATCH, TOKENS, CHANNELS, requires_grad=True) for _ in range(3)]
towards = torch.randn(BATCH, TOKENS, CHANNELS)
allowed = neighbor_mask(SIDE, SIDE, WINDOW, WINDOW)
added = torch.zeros(TOKENS, TOKENS).masked_fill(~allowed, float("-inf"))


def split(tensor: Tensor) -> Tensor:
    return tensor.unflatten(2, (HEADS, -1)).transpose(1, 2)


def join(tensor: Tensor) -> Tensor:
    return tensor.transpose(1, 2).flatten(2)


def near(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
    dy, dx = query // SIDE - key // SIDE, query % SIDE - key % SIDE
    return (2 * dy.abs() >= WINDOW) | (2 * dx.abs() >= WINDOW)


def explicit(mask: Tensor | None, dropout: float = 0.0) -> Tensor:
    q, k, v = map(split, inputs)
    scores = (q * SCALE) @ k.transpose(-1, -2)
    weights = (scores if mask is None else scores + mask).softmax(-1)
    return join(F.dropout(weights, dropout) @ v)


def fused(mask: Tensor | None, dropout: float = 0.0) -> Tensor:
    q, k, v = map(split, inputs)
    return join(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout))


def options(window: int) -> dict[str, int]:
    return {
        "num_heads": HEADS,
        "height": SIDE,
        "width": SIDE,
        "neighbor_height": window,
        "neighbor_width": window,
    }


def operator(window: int) -> Tensor:
    return torch.ops.edgead.neighbor_masked_attention(*inputs, *options(window).values())


block_mask = create_block_mask(near, None, None, TOKENS, TOKENS, device="cpu")
compiled = torch.compile(flex_attention)


def flexible(way: Callable[..., Tensor]) -> Tensor:
    tensors = inputs if torch.is_grad_enabled() else [tensor.detach() for tensor in inputs]  # or it refuses
    return join(way(*map(split, tensors), block_mask=block_mask))


WAYS = {
    "7x7 window": {
        "SDPA, bool mask": lambda: fused(allowed),
        "SDPA, float mask": lambda: fused(added),
        "matmul, softmax, matmul": lambda: explicit(added),
        "FlexAttention, eager": lambda: flexible(flex_attention),
        "FlexAttention, compiled": lambda: flexible(compiled),
        "the operator, its own gradient": lambda: operator(WINDOW),
        "neighbor_masked_attention": lambda: neighbor_masked_attention(*inputs, **options(WINDOW)),
    },
    "no window": {
        "SDPA": lambda: fused(None),
        "matmul, softmax, matmul": lambda: explicit(None),
        "neighbor_masked_attention": lambda: neighbor_masked_attention(*inputs, **options(0)),
    },
    "7x7 window, dropout 0.1": {
        "SDPA, bool mask": lambda: fused(allowed, DROPOUT),
        "matmul, softmax, dropout, matmul": lambda: explicit(added, DROPOUT),
        "attention_with_dropout": lambda: attention_with_dropout(*inputs, **options(WINDOW), dropout=DROPOUT),
    },
}


def seconds(way: Callable[[], Tensor], backward: bool) -> tuple[float, float]:
    begin = time.perf_counter()
    with torch.set_grad_enabled(backward):
        output = way()
    middle = time.perf_counter()
    if backward:
        output.backward(towards)
    return middle - begin, time.perf_counter() - middle


def fault(way: Callable[[], Tensor], backward: bool) -> str | None:
    """Why a way does not work here."""
    try:
        seconds(way, backward)
    except Exception as error:  # noqa: BLE001  # whatever a way says is part of the table
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:90]}"
    return None


def measure(ways: dict[str, Callable[[], Tensor]]) -> dict[str, tuple[list[float], str]]:
    """Seconds of inference, forward and backward (as far as they work), and why the others do not."""
    faults = {(name, backward): fault(way, backward) for name, way in ways.items() for backward in (False, True)}
    times: dict[tuple[str, bool], list[tuple[float, float]]] = {key: [] for key in faults}
    for _ in range(ROUNDS):
        for (name, backward), taken in times.items():
            if faults[name, backward] is None:
                taken.append(seconds(ways[name], backward))
    found = {}
    for name in ways:
        middle = [[statistics.median(part) for part in zip(*times[name, way], strict=True)] for way in (False, True)]
        said = dict.fromkeys(why for why in (faults[name, False], faults[name, True]) if why)
        found[name] = middle[0][:1] + middle[1], "; ".join(said)
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    reference = explicit(added).detach()
    print(f"{torch.get_num_threads()} threads; medians of {ROUNDS}, relative to forward and backward of SDPA")
    for title, ways in WAYS.items():
        print(f"\n{title:34} {'inference':>9} {'forward':>9} {'backward':>9} {'both':>9}")
        found = measure(ways)
        unit = sum(next(iter(found.values()))[0][1:])
        for name, (taken, why) in found.items():
            cells = [*taken, sum(taken[1:])] if len(taken) == 3 else taken
            print(f"{name:34} " + " ".join(f"{cell / unit:9.2f}" for cell in cells) + f"  {why}")
        print(f"{'(that is, in milliseconds)':34} {unit * 1e3:39.1f}")
    with torch.no_grad():
        errors = [(way() - reference).abs().max().item() for way in WAYS["7x7 window"].values()]
    print(f"\nwith the window, all agree within {max(errors):.0e}")


if __name__ == "__main__":
    main()
