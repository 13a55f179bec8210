"""Operators of the domain `edgead` in torch: attention that is blind to the neighbourhood of its query.

Neighbour-masked attention (You et al., "A Unified Model for Multi-class Anomaly Detection", NeurIPS 2022, section 3.2):
where a token can see itself and what lies around it, reconstruction is copying, and defects are copied too.

Without a gradient it is the kernel of `edgead.kernels.neighbor_masked_attention`, on the CPU and on a GPU, where the
native library has one for these sizes, and torch's fused attention elsewhere.

Which way of torch's is the fastest (benchmarks/attention.py: 8 x 196 tokens, 256 channels, 8 heads, one CPU thread,
forward and backward): fused attention with a boolean mask 1, with a float mask 0.99, matmul-softmax-matmul 1.4 to 1.7.
FlexAttention has no gradient on a CPU, and without one takes 7 times as long. With dropout: fused 1, ours 0.7.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgead.errors import TrainingError
from edgead.kernels import library
from edgead.kernels.neighbor_masked_attention import MAX_DIM, MAX_HEADS, MAX_SIDE, MIN_DIM, Attention, attend
from edgead.training import cuda
from edgead.training.dropout import kept

_WHERE = "neighbour-masked attention"
_KINDS = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
_masks: dict[tuple[int, int, int, int, torch.device], Tensor] = {}


def neighbor_masked_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
) -> Tensor:
    """Attention over a grid of tokens, to all keys outside the window around the query.

    q, k, v: float [N, height * width, C], tokens row by row; returns the same shape and type. Each of `num_heads` heads
    takes the softmax of q k / sqrt(C / num_heads) over the keys that are not within the window of `neighbor_height` x
    `neighbor_width` tokens whose centre is the query's own; that one is inside. Sides are odd, or 0: a window with a
    side of 0 hides nothing. Under autocast it computes in the type of autocast. Differentiable once.

    Raises TrainingError for tensors that do not fit the grid or the heads, and for a window as in `check_window`.
    """
    q, k, v = _checked(q, k, v, num_heads, height, width, neighbor_height, neighbor_width)
    options = (num_heads, height, width, neighbor_height, neighbor_width)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (q, k, v)):
        return _attend(q, k, v, *options)  # torch's own gradient, which keeps what the operator's has to find again
    attended: Tensor = torch.ops.edgead.neighbor_masked_attention(q, k, v, *options)
    return attended


def attention_with_dropout(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
    dropout: float,
) -> Tensor:
    """`neighbor_masked_attention` in which each weight is dropped with probability `dropout`: for training.

    What remains is scaled by 1 / (1 - dropout). Draws from torch's generator at every call. Raises TrainingError as
    `neighbor_masked_attention` does, and for a dropout outside of 0 to below 1.
    """
    if not 0 <= dropout < 1:
        raise TrainingError(f"a dropout of {dropout}", _WHERE, "give a probability from 0 to below 1")
    q, k, v = _checked(q, k, v, num_heads, height, width, neighbor_height, neighbor_width)
    mask = _mask_of(q, height, width, neighbor_height, neighbor_width)
    q, k, v = (_split(tensor, num_heads) for tensor in (q, k, v))
    if q.device.type != "cpu" or dropout == 0:
        return _join(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores += torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, float("-inf"))
    return _join((scores.softmax(-1) * kept(scores, dropout)) @ v)


def check_window(height: int, width: int, neighbor_height: int, neighbor_width: int) -> None:
    """Raise TrainingError for a window that is no window, or that leaves some query of the grid without a key."""
    window = f"a window of {neighbor_height}x{neighbor_width}"
    if any(side < 0 or (side % 2 == 0 and side != 0) for side in (neighbor_height, neighbor_width)):
        raise TrainingError(f"{window} has no token in its centre", _WHERE, "choose odd sides, or 0 for no window")
    # The query nearest to the centre has height // 2 rows on its longer side, and no other query has fewer.
    if 2 * (height // 2) < neighbor_height and 2 * (width // 2) < neighbor_width:
        raise TrainingError(
            f"{window} leaves a query no key on a {height}x{width} grid", _WHERE, "choose a smaller window"
        )


def neighbor_mask(
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Which key (column) a query (row) may attend to: bool [height * width, height * width]. Do not change it: it is
    made once for each device."""
    key = (height, width, neighbor_height, neighbor_width, torch.device(device))
    if key in _masks:
        return _masks[key]
    with torch.inference_mode(False):  # or training could not use what an evaluation has made
        mask = _make_mask(*key)
    if type(mask) is Tensor:  # not the stand-in of something that traces
        _masks[key] = mask
    return mask


def _make_mask(height: int, width: int, neighbor_height: int, neighbor_width: int, device: torch.device) -> Tensor:
    token = torch.arange(height * width, device=device)
    y, x = token // width, token % width
    near_y = 2 * (y[:, None] - y).abs() < neighbor_height
    near_x = 2 * (x[:, None] - x).abs() < neighbor_width
    return ~(near_y & near_x)


def _checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = [tuple(tensor.shape) for tensor in (q, k, v)]
    if len(shapes[0]) != 3 or shapes[0] != shapes[1] or shapes[0] != shapes[2]:
        found = " and ".join(str(shape) for shape in shapes)
        raise TrainingError(f"q, k and v of {found}", _WHERE, "give three of [N, tokens, C]")
    _, tokens, channels = shapes[0]
    if tokens != height * width:
        raise TrainingError(f"{tokens} tokens on a {height}x{width} grid", _WHERE, f"give {height * width}")
    if num_heads < 1 or channels % num_heads:
        raise TrainingError(f"{channels} channels in {num_heads} heads", _WHERE, "choose heads that divide them")
    check_window(height, width, neighbor_height, neighbor_width)
    kind = q.dtype
    if torch.is_autocast_enabled(q.device.type) and kind != torch.float64:
        kind = torch.get_autocast_dtype(q.device.type)
    if not (kind.is_floating_point and q.dtype.is_floating_point):
        raise TrainingError(f"tokens of {q.dtype}", _WHERE, "give floating point ones")
    return q.to(kind), k.to(kind), v.to(kind)


def _mask_of(q: Tensor, height: int, width: int, neighbor_height: int, neighbor_width: int) -> Tensor | None:
    if 0 in (neighbor_height, neighbor_width):
        return None
    traced = not isinstance(q, nn.Parameter) and type(q) is not Tensor
    make = _make_mask if traced else neighbor_mask
    return make(height, width, neighbor_height, neighbor_width, q.device)


def _split(tensor: Tensor, num_heads: int) -> Tensor:
    """[N, T, C] -> [N, heads, T, C / heads], a view."""
    return tensor.view(*tensor.shape[:2], num_heads, -1).transpose(1, 2)


def _join(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
) -> Tensor:
    mask = _mask_of(q, height, width, neighbor_height, neighbor_width)
    q, k, v = (_split(tensor, num_heads) for tensor in (q, k, v))
    return _join(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)).contiguous()


def _has_kernel(q: Tensor, num_heads: int, height: int, width: int) -> bool:
    """Whether the native kernel takes it; torch's own attention takes the rest."""
    fits = MIN_DIM <= q.shape[2] // num_heads <= MAX_DIM and max(height, width) <= MAX_SIDE and num_heads <= MAX_HEADS
    if not fits or q.dtype not in _KINDS:
        return False
    if q.device.type == "cuda":
        return cuda.usable(q.device)
    return q.device.type == "cpu" and library.offers("edgead_neighbor_masked_attention")


def _kernel(problem: Attention, q: Tensor, k: Tensor, v: Tensor, stream: int | None) -> Tensor:
    """The native one: without a stream on the CPU."""
    inputs = [tensor.contiguous() for tensor in (q, k, v)]
    out = torch.empty_like(inputs[0])
    addresses = (tensor.data_ptr() for tensor in (*inputs, out))
    attend(problem, _KINDS[q.dtype], *addresses, threads=torch.get_num_threads(), stream=stream)
    return out


@torch.library.custom_op("edgead::neighbor_masked_attention", mutates_args=())
def _operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
) -> Tensor:
    options = (num_heads, height, width, neighbor_height, neighbor_width)
    if _has_kernel(q, num_heads, height, width):
        problem = Attention(q.shape[0], num_heads, q.shape[2] // num_heads, *options[1:])
        if q.device.type == "cuda":
            return cuda.queued(functools.partial(_kernel, problem), q, k, v)
        return _kernel(problem, q, k, v, None)
    with torch.autocast(q.device.type, enabled=False):  # the type of its answer is promised below
        return _attend(q, k, v, *options)


@_operator.register_fake
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    height: int,
    width: int,
    neighbor_height: int,
    neighbor_width: int,
) -> Tensor:
    return q.new_empty(q.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    q, k, v, *ctx.options = inputs
    ctx.save_for_backward(q, k, v)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
        output = _attend(*leaves, *ctx.options)
    return (*torch.autograd.grad(output, leaves, gradient), *[None] * 5)


_operator.register_autograd(_differentiate, setup_context=_remember)
