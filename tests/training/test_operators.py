"""Neighbour-masked attention in torch, against loops over queries and keys in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from edgead.errors import TrainingError
from edgead.training import operators
from edgead.training.operators import (
    attention_with_dropout,
    check_window,
    neighbor_mask,
    neighbor_masked_attention,
)

OPERATOR = torch.ops.edgead.neighbor_masked_attention.default
SIDES = [0, 1, 3, 5, 7]


def hidden(query, key, width, window):
    """The definition: is the key in the window around the query?"""
    dy, dx = (abs(a - b) for a, b in zip(divmod(query, width), divmod(key, width), strict=True))
    return 2 * dy < window[0] and 2 * dx < window[1]


def reference(q, k, v, heads, height, width, window):
    """float64 [N, T, C], one query and one key after the other."""
    q, k, v = (np.asarray(tensor.detach().double()) for tensor in (q, k, v))
    out, size = np.zeros_like(q), q.shape[2] // heads
    for image in range(len(q)):
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for query in range(height * width):
                keys = [key for key in range(height * width) if not hidden(query, key, width, window)]
                scores = np.array([q[image, query, part] @ k[image, key, part] for key in keys]) / np.sqrt(size)
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                out[image, query, part] = sum(w * v[image, key, part] for w, key in zip(weights, keys, strict=True))
    return out


def leaves_a_key(height, width, window):
    tokens = range(height * width)
    return all(any(not hidden(query, key, width, window) for key in tokens) for query in tokens)


def options(heads, height, width, window):
    names = ("num_heads", "height", "width", "neighbor_height", "neighbor_width")
    return dict(zip(names, (heads, height, width, *window), strict=True))


def tokens(height=3, width=4, channels=8, *, batch=2, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, batch, height * width, channels)
    return [part.to(dtype) for part in torch.randn(shape, generator=generator, dtype=torch.float64)]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    window=st.tuples(st.sampled_from(SIDES), st.sampled_from(SIDES)),
    heads=st.integers(1, 3),
    size=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_it_is_the_softmax_over_the_keys_outside_the_window(height, width, window, heads, size, seed):
    q, k, v = tokens(height, width, heads * size, seed=seed)
    call = options(heads, height, width, window)
    if not leaves_a_key(height, width, window):
        with pytest.raises(TrainingError, match="leaves a query no key"):
            neighbor_masked_attention(q, k, v, **call)
        return
    expected = reference(q, k, v, heads, height, width, window)
    for got in (neighbor_masked_attention(q, k, v, **call), attention_with_dropout(q, k, v, **call, dropout=0)):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_every_window_that_leaves_a_query_no_key_is_refused_and_no_other():
    sides = [0, 1, 3, 5, 7, 9, 11, 13]
    for height, width in np.ndindex(6, 6):
        for window in np.array(np.meshgrid(sides, sides)).T.reshape(-1, 2).tolist():
            try:
                check_window(height + 1, width + 1, *window)
                accepted = True
            except TrainingError:
                accepted = False
            assert accepted == leaves_a_key(height + 1, width + 1, window), (height + 1, width + 1, window)


def test_without_a_window_it_is_torchs_attention():
    q, k, v = tokens()
    q4, k4, v4 = (tensor.view(2, 12, 2, 4).transpose(1, 2) for tensor in (q, k, v))
    expected = F.scaled_dot_product_attention(q4, k4, v4).transpose(1, 2).reshape(2, 12, 8)
    for window in ((0, 0), (0, 3), (99, 0)):
        got = neighbor_masked_attention(q, k, v, **options(2, 3, 4, window))
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("window", [(3, 3), (1, 5), (0, 0)])
@pytest.mark.parametrize("way", [neighbor_masked_attention, lambda *args, **call: OPERATOR(*args, *call.values())])
def test_gradients_are_those_of_finite_differences(way, window):
    inputs = [tensor.requires_grad_() for tensor in tokens(2, 3, 4)]
    window = window if leaves_a_key(2, 3, window) else (1, 1)
    assert torch.autograd.gradcheck(lambda *args: way(*args, **options(2, 2, 3, window)), inputs)


def test_gradients_run_through_dropout():
    def dropped(*args):
        torch.manual_seed(0)
        return attention_with_dropout(*args, **options(2, 2, 3, (1, 1)), dropout=0.3)

    assert torch.autograd.gradcheck(dropped, [tensor.requires_grad_() for tensor in tokens(2, 3, 4)])


def test_the_operator_is_one_that_torch_can_trace_compile_and_differentiate():
    inputs = [tensor.requires_grad_() for tensor in tokens()]
    torch.library.opcheck(OPERATOR, (*inputs, 2, 3, 4, 3, 3))
    shaped = OPERATOR(*(tensor.detach().to("meta") for tensor in inputs), 2, 3, 4, 3, 3)
    assert (shaped.shape, shaped.dtype) == (inputs[0].shape, torch.float64)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_other_types_keep_their_type_and_their_precision(dtype, tolerance):
    inputs = [tensor.requires_grad_() for tensor in tokens(4, 4, 32, dtype=dtype)]
    call = options(4, 4, 4, (3, 3))
    expected = reference(*inputs, 4, 4, 4, (3, 3))
    for got in (
        neighbor_masked_attention(*inputs, **call),
        neighbor_masked_attention(*(tensor.detach() for tensor in inputs), **call),
        attention_with_dropout(*inputs, **call, dropout=0.0),
    ):
        assert got.dtype == dtype
        assert np.abs(np.asarray(got.detach().double()) - expected).max() < tolerance
    neighbor_masked_attention(*inputs, **call).sum().backward()
    attention_with_dropout(*inputs, **call, dropout=0.5).sum().backward()
    assert all(tensor.grad.dtype == dtype and tensor.grad.isfinite().all() for tensor in inputs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize(("size", "window"), [(16, (3, 3)), (40, (1, 5)), (128, (0, 0))])
def test_without_a_gradient_it_is_the_native_kernel(dtype, tolerance, size, window, monkeypatch):
    inputs = tokens(4, 5, 3 * size, dtype=dtype)
    call = options(3, 4, 5, window)
    problems = []
    real = operators.attend
    monkeypatch.setattr(
        operators, "attend", lambda problem, *args, **kw: (problems.append(problem), real(problem, *args, **kw))
    )
    got = neighbor_masked_attention(*inputs, **call)
    assert [(problem.batch, problem.heads, problem.dim) for problem in problems] == [(2, 3, size)]
    assert got.dtype == dtype
    expected = reference(*inputs, 3, 4, 5, window)
    assert np.abs(np.asarray(got.double()) - expected).max() < tolerance * max(1, np.abs(expected).max())
    neighbor_masked_attention(*(tensor.requires_grad_() for tensor in inputs), **call).sum().backward()
    assert len(problems) == 1  # training keeps torch's
    torch.library.opcheck(OPERATOR, (*(tensor.detach() for tensor in inputs), *call.values()))


@pytest.mark.parametrize("change", [{"channels": 8}, {"channels": 2 * 129}, {"height": 65}, {"dtype": torch.float64}])
def test_what_the_kernel_does_not_take_is_torchs(change, monkeypatch):
    sizes = {"height": 3, "width": 4, "channels": 64, "dtype": torch.float32} | change
    height, width = sizes["height"], sizes["width"]
    inputs = tokens(**sizes)
    monkeypatch.setattr(operators, "attend", None)
    got = neighbor_masked_attention(*inputs, **options(2, height, width, (3, 3)))
    expected = operators._attend(*inputs, *options(2, height, width, (3, 3)).values())
    assert torch.equal(got, expected)


def test_without_the_native_library_it_is_torchs(monkeypatch):
    inputs = tokens(channels=64, dtype=torch.float32)
    native = neighbor_masked_attention(*inputs, **options(2, 3, 4, (3, 3)))
    monkeypatch.setattr(operators.library, "offers", lambda function: False)
    monkeypatch.setattr(operators, "attend", None)
    torch.testing.assert_close(neighbor_masked_attention(*inputs, **options(2, 3, 4, (3, 3))), native)


def test_autocast_decides_the_type_and_mixed_inputs_are_taken():
    q, k, v = tokens(dtype=torch.float32)
    call = options(2, 3, 4, (3, 3))
    with torch.autocast("cpu", torch.bfloat16):
        for requires in (False, True):
            got = neighbor_masked_attention(q.requires_grad_(requires), k.bfloat16(), v, **call)
            assert got.dtype == torch.bfloat16
        assert attention_with_dropout(q, k, v, **call, dropout=0.1).dtype == torch.bfloat16
        assert OPERATOR(q.detach(), k, v, *call.values()).dtype == torch.float32  # as its shape function promises
        assert neighbor_masked_attention(q.double(), k.double(), v.double(), **call).dtype == torch.float64
    np.testing.assert_allclose(got.detach().float(), reference(q, k, v, 2, 3, 4, (3, 3)), atol=3e-2)


def test_slices_of_one_projection_are_taken():
    together = torch.randn(2, 12, 24, dtype=torch.float64)
    call = options(2, 3, 4, (3, 3))
    apart = [part.clone() for part in together.chunk(3, dim=2)]
    got = neighbor_masked_attention(*together.chunk(3, dim=2), **call)
    assert got.is_contiguous()
    torch.testing.assert_close(got, neighbor_masked_attention(*apart, **call))


def weights_of(dropout, *, batch=64, window=(3, 3)):
    """The weights themselves: the values are the rows of the identity."""
    q, k, _ = tokens(4, 4, 16, batch=batch, dtype=torch.float32)
    v = torch.eye(16).expand(batch, -1, -1)
    return attention_with_dropout(q, k, v, **options(1, 4, 4, window), dropout=dropout)


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_dropout_drops_that_share_of_the_weights_and_scales_the_others(dropout):
    torch.manual_seed(0)
    whole, dropped = weights_of(0.0), weights_of(dropout)
    seen = neighbor_mask(4, 4, 3, 3)
    assert (dropped[:, ~seen] == 0).all()
    lost = dropped[:, seen] == 0
    deviation = (dropout * (1 - dropout) / lost.numel()) ** 0.5
    assert abs(lost.double().mean().item() - dropout) < 5 * deviation
    for rows in (lost.double().mean(0), lost.double().mean(1)):  # no place and no image is special
        assert (rows - dropout).abs().max() < 5.5 * (dropout * (1 - dropout) / (lost.numel() / len(rows))) ** 0.5
    kept = ~lost
    torch.testing.assert_close(dropped[:, seen][kept], whole[:, seen][kept] / (1 - dropout))


def test_dropout_follows_the_seed_and_differs_from_call_to_call():
    torch.manual_seed(3)
    first, second = weights_of(0.2), weights_of(0.2)
    torch.manual_seed(3)
    assert torch.equal(weights_of(0.2), first)
    assert not torch.equal(first, second)
    assert (weights_of(0.2, batch=1, window=(0, 0)) == 0).any()


@pytest.mark.parametrize(
    ("height", "width", "window"), [(3, 4, (3, 3)), (1, 5, (1, 3)), (4, 2, (0, 3)), (2, 3, (1, 1))]
)
def test_the_mask_says_which_key_each_query_may_attend_to(height, width, window):
    mask = neighbor_mask(height, width, *window)
    count = height * width
    expected = [[not hidden(query, key, width, window) for key in range(count)] for query in range(count)]
    assert mask.dtype == torch.bool
    assert mask.tolist() == expected
    assert neighbor_mask(height, width, *window) is mask


def test_a_mask_made_in_an_evaluation_serves_training():
    q, k, v = tokens(5, 3, 2)
    with torch.inference_mode():
        neighbor_masked_attention(q, k, v, **options(1, 5, 3, (3, 1)))
    neighbor_masked_attention(q.requires_grad_(), k, v, **options(1, 5, 3, (3, 1))).sum().backward()
    assert q.grad.isfinite().all()


@pytest.mark.parametrize("way", [neighbor_masked_attention, attention_with_dropout])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"neighbor_height": 2}, "a window of 2x3 has no token in its centre.*odd sides, or 0"),
        ({"neighbor_width": -1}, "a window of 3x-1 has no token in its centre"),
        ({"neighbor_height": 5, "neighbor_width": 5}, "a window of 5x5 leaves a query no key on a 3x4 grid.*smaller"),
        ({"num_heads": 3}, "8 channels in 3 heads"),
        ({"num_heads": 0}, "8 channels in 0 heads"),
        ({"height": 4}, "12 tokens on a 4x4 grid.*give 16"),
        ({"v": torch.zeros(2, 12, 4)}, r"q, k and v of \(2, 12, 8\) and \(2, 12, 8\) and \(2, 12, 4\)"),
        ({"q": torch.zeros(12, 8)}, r"give three of \[N, tokens, C\]"),
        ({"q": torch.zeros(2, 12, 8, dtype=torch.int32)}, "tokens of torch.int32"),
    ],
)
def test_what_does_not_fit_is_refused(way, change, said):
    call = dict(zip("qkv", tokens(), strict=True)) | options(2, 3, 4, (3, 3)) | change
    if way is attention_with_dropout:
        call["dropout"] = 0.1
    with pytest.raises(TrainingError, match=said):
        way(**call)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    with pytest.raises(TrainingError, match="a dropout of"):
        weights_of(dropout)


def test_the_issue_of_small_grids_says_which():
    with pytest.raises(TrainingError, match="a window of 7x7 leaves a query no key on a 4x4 grid"):
        check_window(4, 4, 7, 7)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_a_gpu_finds_the_same_by_its_kernel(dtype, tolerance):
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    inputs = tokens(14, 14, 64, dtype=dtype)
    assert operators._has_kernel(inputs[0].cuda(), 2, 14, 14)
    got = neighbor_masked_attention(*(tensor.cuda() for tensor in inputs), **options(2, 14, 14, (7, 7))).cpu()
    expected = neighbor_masked_attention(*(tensor.double() for tensor in inputs), **options(2, 14, 14, (7, 7)))
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=tolerance)
