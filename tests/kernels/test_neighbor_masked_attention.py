"""Neighbour-masked attention on the CPU: against the definition in float64, torch's fused attention, and itself."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from edgead.errors import KernelError
from edgead.kernels import (
    Attention,
    attend,
    library,
    neighbor_masked_attention,
    neighbor_masked_attention_into,
    reference,
)

from .native import built

FLOAT, HALF, BRAIN = torch.float32, torch.float16, torch.bfloat16
NAMES = {FLOAT: "float32", HALF: "float16", BRAIN: "bfloat16"}
# Relative to the largest value: what sums of float32 lose, and half a step of the answer's type
TOLERANCE = {FLOAT: 2e-6, HALF: 2e-6 + 2**-11, BRAIN: 2e-6 + 2**-8}


def leaves_keys(height, width, rows, columns):
    """By looking at every query."""
    y, x = np.divmod(np.arange(height * width), width)
    near = (2 * np.abs(y[:, None] - y) < rows) & (2 * np.abs(x[:, None] - x) < columns)
    return not near.all(axis=1).any()


@st.composite
def problems(draw):
    """Every grid up to 12 x 12 with every window that leaves each query a key."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    sides = [0, *range(1, 26, 2)]
    windows = [(rows, columns) for rows in sides for columns in sides if leaves_keys(height, width, rows, columns)]
    dim = draw(st.sampled_from([16, 17, 24, 31, 32, 33, 40, 48, 49, 64, 65, 96, 127, 128]))
    window = draw(st.sampled_from(windows))
    return Attention(draw(st.integers(0, 3)), draw(st.integers(1, 4)), dim, height, width, *window)


def tokens(problem, seed=0, kind=FLOAT, scale=1.0):
    """q, k, v, rounded to `kind`"""
    generator = torch.Generator().manual_seed(seed)
    shape = (problem.batch, problem.height * problem.width, problem.heads * problem.dim)
    return [(torch.randn(shape, generator=generator) * scale).to(kind) for _ in range(3)]


def options(problem):
    names = ("height", "width", "neighbor_height", "neighbor_width")
    return {"num_heads": problem.heads, **{name: getattr(problem, name) for name in names}}


def expected(problem, q, k, v):
    return reference.neighbor_masked_attention(*(t.double().numpy() for t in (q, k, v)), **options(problem))


def attended(problem, q, k, v, threads=1):
    out = torch.full_like(q, 99)
    attend(problem, NAMES[q.dtype], *(t.data_ptr() for t in (q, k, v, out)), threads=threads)
    return out


def check(problem, q, k, v, tolerance=None):
    if problem.batch == 0:
        assert attended(problem, q, k, v).shape == q.shape
        return
    error = np.abs(attended(problem, q, k, v).double().numpy() - expected(problem, q, k, v)).max()
    assert error <= (tolerance or TOLERANCE[q.dtype]) * v.abs().max().item()  # NaN fails, too


# ---- the values ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(problems(), st.sampled_from(list(NAMES)), st.integers(0, 2**31))
@example(Attention(1, 1, 16, 1, 1, 0, 0), FLOAT, 0)
@example(Attention(2, 8, 32, 14, 14, 7, 7), FLOAT, 0)
def test_it_is_the_definition_in_float64(problem, kind, seed):
    check(problem, *tokens(problem, seed, kind))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(
    "problem",
    [
        Attention(1, 1, 32, 64, 64, 7, 7),
        Attention(1, 1, 128, 64, 64, 127, 1),
        Attention(1, 2, 40, 32, 32, 63, 1),
        Attention(1, 2, 17, 64, 8, 63, 15),  # whole chunks of keys are hidden
        Attention(1, 1, 16, 1, 64, 999999999, 63),
    ],
)
def test_large_grids(problem, kind):
    check(problem, *tokens(problem, 1, kind))


@settings(deadline=None, max_examples=50)
@given(problems())
def test_it_is_that_of_torch(problem):
    q, k, v = tokens(problem)
    y, x = torch.arange(q.shape[1]) // problem.width, torch.arange(q.shape[1]) % problem.width
    rows, columns = (y[:, None] - y).abs(), (x[:, None] - x).abs()
    hidden = (2 * rows < problem.neighbor_height) & (2 * columns < problem.neighbor_width)
    split = [t.unflatten(2, (problem.heads, problem.dim)).transpose(1, 2) for t in (q, k, v)]
    fused = F.scaled_dot_product_attention(*split, attn_mask=~hidden).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attended(problem, q, k, v), fused, rtol=0, atol=1e-5)


def test_numpy_gives_what_addresses_give():
    problem = Attention(2, 2, 24, 5, 6, 3, 3)
    for kind in (FLOAT, HALF):
        q, k, v = tokens(problem, 0, kind)
        got = neighbor_masked_attention(*(t.numpy() for t in (q, k, v)), **options(problem))
        assert got.dtype == q.numpy().dtype and np.array_equal(got, attended(problem, q, k, v).numpy())


def test_scores_in_the_hundreds():
    """Their powers overflow float32, and they are wrong by what a sum of float32 of their size loses."""
    problem = Attention(1, 2, 32, 6, 7, 3, 3)
    q, k, v = tokens(problem)
    q *= 100
    assert (q @ k.transpose(1, 2)).abs().max() / 32**0.5 > 200
    check(problem, q, k, v, tolerance=1e-4)


@pytest.mark.parametrize("scale", [1e3, 1e10, 1e30, -1e3, -1e30])
def test_where_scores_are_far_apart_the_largest_takes_all(scale):
    problem = Attention(1, 1, 32, 6, 7, 3, 3)
    direction, _, v = tokens(problem)
    k = direction[:, :1] * torch.arange(1, 43)[:, None]
    q = (direction[:, :1] * scale).expand(1, 42, 32).contiguous()
    check(problem, q, k, v)
    far = 41 if scale > 0 else 0  # of what is not hidden, from the middle
    assert torch.equal(attended(problem, q, k, v)[0, 20], v[0, far])


def test_subnormal_numbers_are_numbers():
    problem = Attention(1, 1, 16, 4, 5, 3, 1)
    for tiny in (1e-40, 1e-30):
        q, k, v = tokens(problem)
        check(problem, q * tiny, k * tiny, v)
        check(problem, q, k, v * tiny, tolerance=2e-5)  # steps of 1.4e-45
    q, k, v = tokens(problem, 0, HALF)
    wanted = expected(problem, q, k, v * 1e-5)
    assert np.abs(attended(problem, q, k, v * 1e-5).double().numpy() - wanted).max() <= 2**-25 * 1.01


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("which", range(3))
def test_what_is_not_finite_reaches_those_who_attend_to_it_and_no_other_head(which, bad, kind):
    problem = Attention(2, 3, 20, 6, 6, 3, 3)
    inputs = tokens(problem, 0, kind)
    clean = attended(problem, *inputs)
    place = 2 * 6 + 3  # row 2, column 3
    inputs[which][1, place, 20 + 5] = bad  # of the second head of the second image
    got = attended(problem, *inputs).float().unflatten(2, (3, 20))
    spoilt = ~torch.isfinite(got).all(-1)  # [image, token, head]
    untouched = torch.ones_like(spoilt)
    untouched[1, :, 1] = False
    assert not spoilt[untouched].any()
    assert torch.equal(got[untouched], clean.float().unflatten(2, (3, 20))[untouched])
    y, x = torch.arange(36) // 6, torch.arange(36) % 6
    attends = ((y - 2).abs() > 1) | ((x - 3).abs() > 1)
    if which == 0:
        assert spoilt[1, place, 1]
    elif which == 2 or np.isnan(bad):
        assert spoilt[1, attends, 1].all()


def test_an_infinite_key_is_what_ieee_makes_of_it():
    """Minus infinity weighs nothing; plus infinity less itself is no number."""
    problem = Attention(1, 1, 16, 3, 3, 0, 0)
    q, k, v = tokens(problem)
    q[..., 0], k[0, 4, 0] = 1.0, -float("inf")
    without = F.scaled_dot_product_attention(q, k[:, [0, 1, 2, 3, 5, 6, 7, 8]], v[:, [0, 1, 2, 3, 5, 6, 7, 8]])
    torch.testing.assert_close(attended(problem, q, k, v), without, rtol=0, atol=1e-5)
    k[0, 4, 0] = float("inf")
    assert attended(problem, q, k, v).isnan().all()


# ---- the arrangement -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("problem", [Attention(3, 4, 40, 14, 13, 7, 5), Attention(1, 1, 64, 32, 32, 3, 3)])
def test_threads_change_no_bit(problem, kind):
    inputs = tokens(problem, 0, kind)
    once = attended(problem, *inputs)
    for threads in (2, 3, 8, 64):
        assert torch.equal(once, attended(problem, *inputs, threads=threads))


def test_an_image_of_a_batch_is_what_it_is_alone():
    problem = Attention(3, 2, 32, 7, 9, 3, 5)
    inputs = tokens(problem)
    together = attended(problem, *inputs)
    for index in range(3):
        alone = [t[index : index + 1].contiguous() for t in inputs]
        assert torch.equal(attended(Attention(1, 2, 32, 7, 9, 3, 5), *alone)[0], together[index])


def test_a_hidden_key_changes_no_bit():
    problem = Attention(1, 1, 32, 9, 9, 17, 1)  # a query sees all columns but its own
    q, k, v = tokens(problem)
    before = attended(problem, q, k, v)
    hidden = torch.arange(81) % 9 == 4
    k[:, hidden], v[:, hidden] = 1e3, -3e38  # times the smallest weight that is not 0, that is -4
    after = attended(problem, q, k, v)
    assert torch.equal(before[:, hidden], after[:, hidden]) and not torch.equal(before, after)


def aside(array):
    """The same numbers at an address that is no multiple of 4."""
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    buffer[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return buffer[1:].view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize(
    "change",
    [
        aside,
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=1)[:, ::2],
        lambda array: np.ascontiguousarray(array[:, ::-1])[:, ::-1],
        lambda array: np.ascontiguousarray(array.transpose(1, 0, 2)).transpose(1, 0, 2),
    ],
)
def test_arrays_in_any_order_are_read(change):
    problem = Attention(2, 2, 16, 4, 5, 3, 3)
    inputs = [t.numpy() for t in tokens(problem)]
    got = neighbor_masked_attention(*map(change, inputs), **options(problem))
    assert np.array_equal(got, neighbor_masked_attention(*inputs, **options(problem)))


def test_read_only_and_repeated_inputs_are_read():
    problem = Attention(2, 2, 16, 4, 5, 3, 3)
    q = tokens(problem)[0].numpy()
    q.flags.writeable = False
    one = np.broadcast_to(q[:1], q.shape)
    got = neighbor_masked_attention(q, one, q, **options(problem))
    assert np.array_equal(got, neighbor_masked_attention(q, one.copy(), q.copy(), **options(problem)))


def test_an_empty_batch_is_empty():
    empty = np.empty((0, 6, 32), np.float32)
    shape = {"height": 2, "width": 3, "neighbor_height": 1, "neighbor_width": 1}
    assert neighbor_masked_attention(empty, empty, empty, num_heads=2, **shape).shape == (0, 6, 32)


# ---- what is refused -------------------------------------------------------------------------------------------------

RIGHT = {"batch": 1, "heads": 2, "dim": 16, "height": 3, "width": 4, "neighbor_height": 1, "neighbor_width": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": -1}, "-1 images"),
        ({"heads": 0}, "0 heads"),
        ({"heads": 1025}, "1025 heads"),
        ({"dim": 15}, "heads of 15 channels"),
        ({"dim": 129}, "heads of 129 channels"),
        ({"height": 0}, "a grid of 0x4"),
        ({"width": 65}, "a grid of 3x65"),
        ({"neighbor_height": 2}, "2x3 has no token in its centre"),
        ({"neighbor_width": -1}, "1x-1 has no token in its centre"),
        ({"neighbor_height": 3, "neighbor_width": 5}, "3x5 leaves a query no key on a 3x4 grid"),
    ],
)
def test_a_problem_without_an_answer_is_refused(change, message):
    with pytest.raises(KernelError, match=message):
        Attention(**RIGHT | change)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(-1, 20), st.integers(-1, 20))
def test_windows_are_refused_by_python_and_by_c_where_a_query_has_no_key(height, width, rows, columns):
    numbers = {"height": height, "width": width, "neighbor_height": rows, "neighbor_width": columns}
    has_centre = all(side == 0 or (side > 0 and side % 2) for side in (rows, columns))
    right = has_centre and leaves_keys(height, width, rows, columns)
    try:
        Attention(**RIGHT | numbers)
        accepted = True
    except KernelError:
        accepted = False
    assert accepted == right
    struct = (ctypes.c_int32 * 8)(0, 0, 1, 16, height, width, rows, columns)  # a batch of 0, in 64 bits
    null = ctypes.c_void_p()
    status = library.load().edgead_neighbor_masked_attention(null, null, null, null, 0, ctypes.byref(struct), 1)
    assert status == (0 if right else 8)


def arrays(count=3, shape=(1, 12, 32), dtype=np.float32):
    return [np.zeros(shape, dtype) for _ in range(count)]


GRID = {"num_heads": 2, "height": 3, "width": 4, "neighbor_height": 1, "neighbor_width": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: [[0.0]]}, "the queries are a list"),
        ({0: np.zeros((1, 12, 32))}, "the queries of float64"),
        ({0: np.zeros((12, 32), np.float32)}, r"the queries of shape \(12, 32\)"),
        ({0: np.zeros((1, 12, 32), ">f4")}, "the queries of >f4"),
        ({1: np.zeros((1, 12, 32), np.float16)}, "the keys of float16"),
        ({2: np.zeros((1, 11, 32), np.float32)}, r"the values of float32 \(1, 11, 32\)"),
        ({3: np.zeros((1, 12, 31), np.float32)}, r"the output of float32 \(1, 12, 31\)"),
        ({3: np.zeros((1, 12, 64), np.float32)[..., ::2]}, "not contiguous, aligned and writeable"),
        ({3: np.broadcast_to(np.float32(0), (1, 12, 32))}, "not contiguous, aligned and writeable"),
        ({3: aside(np.zeros((1, 12, 32), np.float32))}, "not contiguous, aligned and writeable"),
        ({"num_heads": 3}, "32 channels in 3 heads"),
        ({"num_heads": 0}, "32 channels in 0 heads"),
        ({"num_heads": 4}, "heads of 8 channels"),
        ({"height": 2}, "12 tokens on a 2x4 grid"),
        ({"neighbor_width": 2}, "no token in its centre"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    given_arrays = arrays(4)
    for place, value in change.items():
        if isinstance(place, int):
            given_arrays[place] = value
    with pytest.raises(KernelError, match=message):
        neighbor_masked_attention_into(
            *given_arrays, **GRID | {k: v for k, v in change.items() if not isinstance(k, int)}
        )


@pytest.mark.parametrize("which", range(3))
def test_an_output_over_an_input_is_refused(which):
    inputs = arrays()
    with pytest.raises(KernelError, match="shares memory"):
        neighbor_masked_attention_into(*inputs, inputs[which], **GRID)


def test_an_unknown_type_is_refused():
    with pytest.raises(KernelError, match="numbers of type float64"):
        attend(Attention(**RIGHT), "float64", 0, 0, 0, 0)


# ---- other machines --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_arm_passes_the_native_test(tmp_path):
    compiler = shutil.which("aarch64-linux-gnu-g++") or pytest.skip("there is no aarch64-linux-gnu-g++")
    emulator = shutil.which("qemu-aarch64") or pytest.skip("there is no qemu-aarch64")
    program = built("neighbor_masked_attention", tmp_path, compiler, "-static")
    done = subprocess.run([emulator, program], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
