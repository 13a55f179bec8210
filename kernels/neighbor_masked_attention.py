"""Attention over a grid of tokens that is blind to the neighbourhood of its query.

The definition is in `include/edgead/neighbor_masked_attention.h`; sums are float32, in any order, so that the last bits
depend on the processor, but not on the number of threads. NumPy's arrays are taken by `neighbor_masked_attention` and
its `_into`, everything else by its address, on the CPU or on a GPU, by `attend`. The GIL is released meanwhile.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgead.errors import KernelError
from edgead.kernels import library
from edgead.kernels.output import check_output

Tokens = TypeVar("Tokens", NDArray[np.float32], NDArray[np.float16])

TYPES = {"float32": 0, "float16": 1, "bfloat16": 2}
"""The types of numbers, and how the C interface calls them."""

MIN_DIM, MAX_DIM, MAX_SIDE, MAX_HEADS = 16, 128, 64, 1024
_WHERE = "neighbour-masked attention"


@dataclass(frozen=True)
class Attention:
    """What is computed: for each of `batch` images, `heads` heads of `dim` channels each on a grid of height x width
    tokens, with a window of neighbor_height x neighbor_width tokens hidden around each query; 0 for none.

    Heads are 16 to 128 channels wide, and a grid has sides from 1 to 64. Raises KernelError for what is not supported,
    for a window without a centre, and for one that leaves a query no key.
    """

    batch: int
    heads: int
    dim: int
    height: int
    width: int
    neighbor_height: int
    neighbor_width: int

    def __post_init__(self) -> None:
        if self.batch < 0:
            raise KernelError(f"{self.batch} images", _WHERE, "give 0 or more")
        if not 1 <= self.heads <= MAX_HEADS:
            raise KernelError(f"{self.heads} heads", _WHERE, f"choose 1 to {MAX_HEADS}")
        if not MIN_DIM <= self.dim <= MAX_DIM:
            raise KernelError(f"heads of {self.dim} channels", _WHERE, f"choose {MIN_DIM} to {MAX_DIM}")
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise KernelError(f"a grid of {self.height}x{self.width}", _WHERE, f"choose sides from 1 to {MAX_SIDE}")
        window = f"a window of {self.neighbor_height}x{self.neighbor_width}"
        if any(side < 0 or (side % 2 == 0 and side != 0) for side in (self.neighbor_height, self.neighbor_width)):
            raise KernelError(f"{window} has no token in its centre", _WHERE, "choose odd sides, or 0 for no window")
        if 2 * (self.height // 2) < self.neighbor_height and 2 * (self.width // 2) < self.neighbor_width:
            on = f"on a {self.height}x{self.width} grid"
            raise KernelError(f"{window} leaves a query no key {on}", _WHERE, "choose a smaller window")


class _Problem(ctypes.Structure):
    _fields_ = [(each.name, ctypes.c_int64 if each.name == "batch" else ctypes.c_int32) for each in fields(Attention)]

    @classmethod
    def of(cls, problem: Attention) -> _Problem:
        numbers = [int(getattr(problem, each.name)) for each in fields(Attention)]
        window = [min(side, 2 * MAX_SIDE - 1) for side in numbers[-2:]]  # which hides as much as any larger one
        return cls(*numbers[:-2], *window)


def attend(
    problem: Attention,
    kind: str,
    q: int,
    k: int,
    v: int,
    out: int,
    *,
    threads: int = 1,
    stream: int | None = None,
) -> None:
    """Attention on addresses of four contiguous arrays [batch, height * width, heads * dim] of a `kind` of TYPES.

    Without a `stream` they are in the host's memory, and at most `threads` threads work on them until it is done. With
    one, a CUDA stream as a number (0 is the default stream), they are in the device's, and it is only queued. Each
    address is a multiple of a number's size. The output shares no memory with the others. Raises KernelError for an
    unknown kind, below 1 thread, and where it fails.
    """
    if kind not in TYPES:
        raise KernelError(f"numbers of type {kind}", _WHERE, f"choose one of {', '.join(TYPES)}")
    library.check_threads(threads, _WHERE)
    if problem.batch == 0:
        return
    arguments = (*map(ctypes.c_void_p, (q, k, v, out)), TYPES[kind], ctypes.byref(_Problem.of(problem)))
    if stream is None:
        status = library.load().edgead_neighbor_masked_attention(*arguments, threads)
    else:
        status = library.cuda().edgead_cuda_neighbor_masked_attention(*arguments, ctypes.c_void_p(stream))
    library.check(status, _WHERE)


def neighbor_masked_attention_into(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    out: Tokens,
    *,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
    threads: int = 1,
) -> None:
    """Attention over a grid of tokens, to all keys outside the window around the query, into `out`.

    q, k, v, out: float32 or float16 [N, height * width, C], one type, tokens row by row. Each of `num_heads` heads of
    C / num_heads channels takes softmax(q k^T / sqrt(C / num_heads)) v over the keys that are not within the window of
    `neighbor_height` x `neighbor_width` tokens whose centre is the query's own; that one is inside (You et al., "A
    Unified Model for Multi-class Anomaly Detection", NeurIPS 2022, section 3.2). Sides are odd, or 0: a window with a
    side of 0 hides nothing. At most `threads` threads work on it. A number that is not finite gives NaN to the queries
    that attend to it, and may to others of its head.

    Inputs that are not contiguous are copied first. Raises KernelError for any other array, for an `out` that is not
    contiguous or shares memory with an input, and for what `Attention` refuses.
    """
    _check(q, "the queries")
    for array, what in ((k, "the keys"), (v, "the values"), (out, "the output")):
        _check(array, what, q)
    batch, tokens, channels = q.shape
    if tokens != height * width:
        raise KernelError(f"{tokens} tokens on a {height}x{width} grid", _WHERE, f"give {height * width}")
    if num_heads < 1 or channels % num_heads:
        raise KernelError(f"{channels} channels in {num_heads} heads", _WHERE, "choose heads that divide them")
    problem = Attention(batch, num_heads, channels // num_heads, height, width, neighbor_height, neighbor_width)
    check_output(out, _WHERE, q, k, v)
    inputs: list[NDArray[Any]] = [np.require(array, requirements=["C", "A"]) for array in (q, k, v)]
    first, second, third = (array.ctypes.data for array in inputs)
    attend(problem, str(q.dtype), first, second, third, out.ctypes.data, threads=threads)


def neighbor_masked_attention(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    *,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
    threads: int = 1,
) -> Tokens:
    """Allocate an array like q and `neighbor_masked_attention_into` it."""
    _check(q, "the queries")
    out = np.empty(q.shape, q.dtype)
    neighbor_masked_attention_into(
        q,
        k,
        v,
        out,
        num_heads=num_heads,
        height=height,
        width=width,
        neighbor_height=neighbor_height,
        neighbor_width=neighbor_width,
        threads=threads,
    )
    return out


def _check(array: Any, what: str, like: NDArray[Any] | None = None) -> None:
    if not isinstance(array, np.ndarray):
        raise KernelError(f"{what} are a {type(array).__name__}", _WHERE, "give an array of float32 or float16")
    if array.dtype not in (np.float32, np.float16):
        raise KernelError(f"{what} of {array.dtype}", _WHERE, "give float32 or float16")
    if array.ndim != 3:
        raise KernelError(f"{what} of shape {array.shape}", _WHERE, "give [N, tokens, channels]")
    if like is not None and (array.dtype, array.shape) != (like.dtype, like.shape):
        found = f"{what} of {array.dtype} {array.shape} with queries of {like.dtype} {like.shape}"
        raise KernelError(found, _WHERE, "give four of one type and shape")
