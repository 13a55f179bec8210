"""CIEDE2000 against the pairs of its paper, scikit-image, the paper in float64, and itself on other machines."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.color import deltaE_ciede2000

from edgead.errors import KernelError
from edgead.kernels import (
    ciede2000,
    ciede2000_into,
    ciede2000_planar,
    ciede2000_planar_into,
    ciede2000_recolored,
    ciede2000_recolored_into,
    library,
    reference,
)
from tests.colors import HIGH, LOW, anywhere, close, nearly_neutral, nearly_opposite, opposite, single, unrelated

from .native import INSTRUCTION_SETS, digest_here, digest_on_arm, digest_with

ROOT = Path(__file__).parents[2]
PAIRS = np.loadtxt(ROOT / "tests/data/sharma_2005_pairs.txt")  # L1 a1 b1 L2 a2 b2 difference
CHUNKS = 5  # draws of each of four kinds: a million pairs
NO_NUMBER = 0x7FC00000

color = st.tuples(*(st.floats(low, high, width=32) for low, high in zip(LOW, HIGH, strict=True)))
anything = st.floats(width=32)  # not a number, infinity and subnormal numbers among them
shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)


def planar(colors):
    """[..., 3] -> [1, 3, ..., n], contiguous"""
    return np.ascontiguousarray(np.moveaxis(colors.reshape(1, -1, 3), -1, 1)[:, :, None])


def photographs(random, shape):
    return random.integers(0, 256, (*shape, 3), np.uint8)


# ---- the values ------------------------------------------------------------------------------------------------------


def test_the_34_pairs_of_the_paper():
    first, second = PAIRS[:, :3].astype(np.float32), PAIRS[:, 3:6].astype(np.float32)
    assert len(PAIRS) == 34
    for got in (ciede2000(first, second), ciede2000(second, first)):
        assert np.abs(got - PAIRS[:, 6]).max() < 1e-4
    assert np.abs(ciede2000_planar(planar(first), planar(second)).ravel() - PAIRS[:, 6]).max() < 1e-4


@pytest.mark.parametrize("kind", [unrelated, close, nearly_neutral, nearly_opposite])
def test_it_is_that_of_scikit_image(kind):
    for chunk in range(CHUNKS):
        first, second = single(kind(np.random.default_rng(chunk)))
        expected = deltaE_ciede2000(first.astype(np.float64), second.astype(np.float64))
        assert np.abs(ciede2000(first, second) - expected).max() < 1e-3  # NaN fails, too


@pytest.mark.parametrize("kind", [unrelated, close, nearly_neutral, nearly_opposite, opposite])
def test_it_is_the_float64_definition_in_either_order(kind):
    first, second = single(kind(np.random.default_rng(9)))
    got = ciede2000(first, second)
    assert np.abs(got - reference.ciede2000(first, second)).max() < 2e-4
    assert (got >= 0).all()
    assert np.array_equal(got, ciede2000(second, first))


@pytest.mark.parametrize("scale", [1e-6, 1e-12, 1e-20, 1e-30, 1e-38, 1e-42, 7800])
def test_colors_of_every_chroma_differ_as_the_oracle_says(scale):
    """Down to where components are subnormal and products are 0, and up to a million."""
    random = np.random.default_rng(0)
    first, second = single(unrelated(random))
    first[:, 1:] *= np.float32(scale)
    second[:: 2 if scale < 1 else 1, 1:] *= np.float32(scale)
    expected = reference.ciede2000(first, second)
    np.testing.assert_allclose(ciede2000(first, second), expected, rtol=1e-5, atol=2e-4)


@settings(deadline=None)
@given(color)
def test_a_color_differs_from_itself_by_nothing(same):
    colors = np.array([same], np.float32)
    assert ciede2000(colors, colors) == 0


@settings(deadline=None)
@given(st.lists(anything, min_size=6, max_size=6))
def test_what_is_no_color_gives_the_one_nan_and_every_color_a_number(components):
    pair = np.array(components, np.float32)
    (got,) = ciede2000(pair[None, :3], pair[None, 3:])
    if (np.abs(pair) <= 1e6).all():
        assert got >= 0
    else:
        assert got.view(np.uint32) == NO_NUMBER


@pytest.mark.parametrize("wrong", [np.nan, -np.nan, np.inf, -np.inf, 3e38, 1.1e6])
def test_a_wrong_component_spoils_its_own_pixel_alone(wrong):
    first, second = single(anywhere(np.random.default_rng(seed), 600) for seed in (0, 1))
    expected = ciede2000(first, second)
    for index in range(600):
        (first if index % 2 else second)[index, index % 3] = wrong if index % 7 == 0 else 50
    right = np.arange(600) % 7 != 0
    got = ciede2000(first, second)
    assert (got.view(np.uint32)[~right] == NO_NUMBER).all()
    assert np.isfinite(got[right]).all() and not np.array_equal(got[right], expected[right])
    with np.errstate(invalid="ignore"):
        ab = np.ascontiguousarray(first.T[None, 1:, None])
        gone = ~(np.abs(first[:, 1:]) <= 1e6).all(axis=1)
        got = ciede2000_recolored(photographs(np.random.default_rng(2), (1, 1, 600)), ab)[0, 0]
    assert np.array_equal(np.isnan(got), gone) and gone.any()


def test_every_color_of_eight_bits_becomes_that_of_the_oracle():
    """Against gray, which asks for a* and b*: every 9th value of red, green and blue, and all grays."""
    steps = np.r_[0:256:9, 255]
    grays = np.repeat(np.arange(256), 3).reshape(-1, 3)
    rgb = np.concatenate([np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3), grays]).astype(np.uint8)
    lab = reference.srgb_to_lab(rgb / 255)
    for shift in (np.zeros(2), np.array([20, -30])):
        other = np.broadcast_to(shift, (len(rgb), 2)).astype(np.float32)
        got = ciede2000_recolored(rgb[None, None], np.ascontiguousarray(other.T[None, :, None]))[0, 0]
        expected = reference.ciede2000(lab, np.concatenate([lab[:, :1], other], axis=1))
        assert np.abs(got - expected).max() < 5e-4


def test_predictions_close_to_the_photograph_and_far_from_it():
    random = np.random.default_rng(3)
    rgb = photographs(random, (2, 300, 400))
    lab = reference.srgb_to_lab(rgb / 255)
    for scale in (0.01, 1, 60):
        ab = (lab[..., 1:] + scale * random.normal(size=(2, 300, 400, 2))).astype(np.float32)
        got = ciede2000_recolored(rgb, np.ascontiguousarray(np.moveaxis(ab, -1, 1)))
        expected = reference.ciede2000(lab, np.concatenate([lab[..., :1], ab], axis=-1))
        assert np.abs(got - expected).max() < 1e-3


# ---- the arrangements ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(shapes, st.data())
def test_every_shape_is_taken_pixel_by_pixel(shape, data):
    components = st.floats(-100, 100, width=32)
    first, second = (data.draw(hnp.arrays(np.float32, (*shape, 3), elements=components)) for _ in range(2))
    got = ciede2000(first, second)
    assert (got.shape, got.dtype) == (shape, np.float32)
    for index in np.ndindex(shape):
        assert got[index] == ciede2000(first[index], second[index])


@settings(deadline=None)
@given(st.integers(0, 3), st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**31))
def test_planes_interleaved_pixels_and_crops_give_the_same_bits(count, height, width, seed):
    random = np.random.default_rng(seed)
    first, second = (random.uniform(LOW, HIGH, (count, height + 2, width + 3, 3)).astype(np.float32) for _ in range(2))
    expected = ciede2000(first, second)[:, 1:-1, 2:-1]
    crops = [each[:, 1:-1, 2:-1] for each in (first, second)]
    assert np.array_equal(ciede2000(*crops), expected)
    assert np.array_equal(ciede2000(crops[0].copy(), crops[1]), expected)
    planes = [np.ascontiguousarray(np.moveaxis(crop, -1, 1)) for crop in crops]
    assert np.array_equal(ciede2000_planar(*planes)[:, 0], expected)
    assert np.array_equal(ciede2000_planar(*(np.moveaxis(crop, -1, 1) for crop in crops))[:, 0], expected)
    stacked = np.concatenate([planes[0], planes[1][:, :1], planes[1]], axis=1)  # pictures 7 planes apart
    assert np.array_equal(ciede2000_planar(stacked[:, :3], stacked[:, 4:])[:, 0], expected)
    assert np.array_equal(ciede2000_planar(stacked[::-1, :3], stacked[::-1, 4:])[::-1, 0], expected)


@settings(deadline=None)
@given(st.integers(0, 3), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_photographs_apart_are_read_in_place(count, height, width, seed):
    random = np.random.default_rng(seed)
    rgb = photographs(random, (2 * count, height, width))
    ab = random.uniform(-128, 128, (count, 5, height, width)).astype(np.float32)
    got = ciede2000_recolored(rgb[::2], ab[:, 1:3])
    assert got.shape == (count, height, width)
    assert np.array_equal(got, ciede2000_recolored(rgb[::2].copy(), ab[:, 1:3].copy()))
    for index in range(count):
        assert np.array_equal(
            got[index : index + 1], ciede2000_recolored(rgb[2 * index][None], ab[index : index + 1, 1:3])
        )


@pytest.mark.parametrize("offset", range(1, 17))
def test_any_address_is_read(offset):
    """Multiples of 4 bytes in place, others as a copy."""
    first, second = single(anywhere(np.random.default_rng(seed), 100) for seed in (0, 1))
    buffer = np.zeros(first.nbytes + offset, np.uint8)
    buffer[offset:] = first.view(np.uint8).ravel()
    moved = buffer[offset:].view(np.float32).reshape(first.shape)
    expected = ciede2000(first, second)
    assert np.array_equal(ciede2000(moved, second), expected)
    target = np.full(102 + offset, -1, np.float32)
    ciede2000_into(first, moved, target[offset:-2])
    assert np.array_equal(target[offset:-2], ciede2000(first, first))
    assert (target[:offset] == -1).all() and (target[-2:] == -1).all()


@pytest.mark.parametrize("threads", [2, 3, 7, 64])
def test_the_number_of_threads_changes_no_bit(threads):
    random = np.random.default_rng(4)
    first, second = (random.uniform(LOW, HIGH, (3, 211, 307, 3)).astype(np.float32) for _ in range(2))
    rgb, ab = photographs(random, (3, 211, 307)), np.ascontiguousarray(np.moveaxis(second[..., 1:], -1, 1))
    planes = [np.ascontiguousarray(np.moveaxis(each, -1, 1)) for each in (first, second)]
    for function, arrays in (
        (ciede2000, (first, second)),
        (ciede2000_planar, planes),
        (ciede2000_recolored, (rgb, ab)),
    ):
        assert np.array_equal(function(*arrays, threads=threads), function(*arrays))


# ---- what is refused -------------------------------------------------------------------------------------------------

ZERO = np.zeros((2, 3), np.float32)
PICTURE = np.zeros((1, 3, 2, 2), np.float32)
PHOTO, CHROMA = np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("function", "first", "second", "message"),
    [
        (ciede2000, ZERO.astype(np.float64), ZERO, "first colour is float64, not float32"),
        (ciede2000, ZERO, ZERO.astype(">f4"), "second colour is >f4, not float32"),
        (ciede2000, None, ZERO, "first colour is a NoneType.* give an array of float32"),
        (ciede2000, ZERO, [[1, 2, 3]], "second colour is a list"),
        (ciede2000, np.float32(1), ZERO, "first colour is a float32"),
        (ciede2000, ZERO[:, :2], ZERO, r"has shape \(2, 2\).* give \[\.\.\., 3\]"),
        (ciede2000, ZERO, ZERO[:1], r"give \[2, 3\]"),
        (ciede2000_planar, ZERO, ZERO, r"give \[any, 3, any, any\]"),
        (ciede2000_planar, PICTURE[:, :2], PICTURE, "first picture has shape"),
        (ciede2000_planar, PICTURE, PICTURE[..., :1], r"give \[1, 3, 2, 2\]"),
        (ciede2000_recolored, PHOTO.astype(np.float32), CHROMA, "photograph is float32, not uint8"),
        (ciede2000_recolored, PHOTO[0], CHROMA, r"give \[any, any, any, 3\]"),
        (ciede2000_recolored, PHOTO, PICTURE, r"give \[1, 2, 2, 2\]"),
    ],
)
def test_other_arrays_are_refused(function, first, second, message):
    with pytest.raises(KernelError, match=message):
        function(first, second)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros(2), "output is float64"),
        (np.zeros(3, np.float32), "output has shape"),
        (np.zeros(4, np.float32)[::2], "not contiguous"),
        (np.zeros(9, np.uint8)[1:].view(np.float32), "not contiguous, aligned"),
        (np.broadcast_to(np.float32(0), 2), "writeable"),
    ],
)
def test_other_outputs_are_refused(out, message):
    with pytest.raises(KernelError, match=message):
        ciede2000_into(ZERO, ZERO, out)


def test_an_output_over_an_input_is_refused():
    colors = np.zeros((4, 3), np.float32)
    with pytest.raises(KernelError, match="shares memory"):
        ciede2000_into(colors, np.zeros_like(colors), colors.ravel()[2:6])
    pictures = np.zeros((2, 7, 4, 4), np.float32)
    with pytest.raises(KernelError, match="shares memory"):
        ciede2000_planar_into(pictures[:1, :3], pictures[:1, 4:], pictures[:1, 2:3])
    ciede2000_planar_into(pictures[:1, :3], pictures[:1, 4:], pictures[:1, 3:4])  # between the two
    with pytest.raises(KernelError, match="shares memory"):
        ciede2000_recolored_into(PHOTO, CHROMA, CHROMA[:, 0])


def test_no_threads_are_refused():
    with pytest.raises(KernelError, match="0 threads"):
        ciede2000(ZERO, ZERO, threads=0)


@pytest.mark.parametrize("counts", [(-1, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_the_c_interface_refuses_what_it_cannot_count(counts):
    *sizes, threads = counts
    null, pitch = ctypes.c_void_p(), ctypes.c_int64(0)
    for name in ("planar", "interleaved", "recolored"):
        function = getattr(library.load(), f"edgead_ciede2000_{name}")
        status = function(null, pitch, null, pitch, *map(ctypes.c_int64, sizes), null, threads)
        with pytest.raises(KernelError, match="a count is negative"):
            library.check(status, name)


def test_a_missing_library_offers_nothing(monkeypatch, tmp_path):
    assert library.offers("edgead_ciede2000_planar") and not library.offers("edgead_no_such_function")
    monkeypatch.setenv("EDGEAD_NATIVE", str(tmp_path))
    library.load.cache_clear()
    try:
        assert not library.offers("edgead_ciede2000_planar")
    finally:
        library.load.cache_clear()


# ---- other machines --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return digest_here("ciede2000", tmp_path_factory.mktemp("here"))


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "needed"), INSTRUCTION_SETS)
def test_every_instruction_set_gives_the_same_bits(here, flag, needed, tmp_path):
    assert digest_with("ciede2000", tmp_path, flag, needed) == here


@pytest.mark.slow
def test_an_arm_gives_the_same_bits(here, tmp_path):
    assert digest_on_arm("ciede2000", tmp_path) == here
