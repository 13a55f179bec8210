"""The resize against float64, against Pillow, and against itself."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from edgead.errors import KernelError
from edgead.kernels import library, reference, resize, resize_into

sides = st.integers(1, 64)
images = hnp.arrays(np.uint8, st.tuples(sides, sides, st.just(3)))

# Each weight is off by at most 2^-14 and the column sums by 2^-9, so a value may be off by a little more than half a
# grey level.
ROUNDING = 0.55


@given(images, sides, sides)
def test_is_the_float64_definition_rounded_once(image, height, width):
    difference = np.abs(resize(image, height, width) - reference.resize(image, height, width))
    assert difference.max() <= ROUNDING


@given(images, sides, sides)
def test_agrees_with_pillow_within_its_own_rounding(image, height, width):
    # Pillow rounds to 8 bits between its two passes, so it is off by up to one level itself.
    pillow = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resize(image, height, width) - pillow).max() <= 1


def test_a_large_frame_agrees_with_pillow():
    frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    pillow = np.asarray(Image.fromarray(frame).resize((256, 256), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resize(frame, 256, 256) - pillow).max() <= 1


@given(st.integers(0, 255), sides, sides, sides, sides)
def test_a_constant_image_stays_constant(value, height, width, out_height, out_width):
    image = np.full((height, width, 3), value, np.uint8)
    assert (resize(image, out_height, out_width) == value).all()


@given(images)
def test_the_same_size_is_a_copy(image):
    assert np.array_equal(resize(image, *image.shape[:2]), image)


@given(images, sides, sides)
def test_swapping_channels_commutes_with_resizing(image, height, width):
    expected = resize(image, height, width)[:, :, ::-1]
    assert np.array_equal(resize(image, height, width, swap_channels=True), expected)


@given(images, sides, sides)
def test_a_mirrored_image_gives_the_mirrored_result(image, height, width):
    mirrored = resize(np.ascontiguousarray(image[::-1, ::-1]), height, width)
    # The running sum of the weights is rounded from one side, so mirrored weights may differ by one unit.
    assert np.abs(mirrored[::-1, ::-1].astype(int) - resize(image, height, width)).max() <= 1


@given(hnp.arrays(np.uint8, st.tuples(sides, sides)), sides, sides)
def test_gray_is_three_equal_channels(gray, height, width):
    expected = resize(np.repeat(gray[:, :, None], 3, axis=2), height, width)
    assert np.array_equal(resize(gray, height, width), expected)
    assert np.array_equal(resize(gray[:, :, None], height, width), expected)


@given(images, st.data())
def test_a_crop_is_read_in_place(image, data):
    top, left = data.draw(st.integers(0, image.shape[0] - 1)), data.draw(st.integers(0, image.shape[1] - 1))
    crop = image[top:, left:]
    assert np.array_equal(resize(crop, 17, 9), resize(crop.copy(), 17, 9))


@given(images)
def test_any_memory_order_is_taken(image):
    for view in (image[::-1], image[:, ::-1], image[:, :, ::-1], np.asfortranarray(image)):
        assert np.array_equal(resize(view, 12, 12), resize(np.ascontiguousarray(view), 12, 12))


def test_into_writes_only_the_output():
    image, guard = np.full((8, 8, 3), 200, np.uint8), np.zeros((3, 4, 4, 3), np.uint8)
    resize_into(image, guard[1])
    assert (guard[1] == 200).all() and not guard[0].any() and not guard[2].any()


@settings(max_examples=200)
@given(st.integers(1, 3000), st.integers(1, 700))
def test_weights_are_a_partition_of_one(size, out):
    native = library.load()
    taps = native.edgead_resize_taps(size, out)
    first, count = np.empty(out, np.int32), np.empty(out, np.int32)
    weight = np.zeros((out, taps), np.int16)
    status = native.edgead_resize_axis(
        size, out, *(ctypes.c_void_p(table.ctypes.data) for table in (first, count, weight))
    )
    assert status == 0
    assert (count >= 1).all() and (count <= taps).all()
    assert (first >= 0).all() and (first + count <= size).all()
    assert (weight.sum(axis=1, dtype=np.int64) == 1 << 14).all() and (weight >= 0).all()
    dense = np.zeros((out, size))
    for row in range(out):
        dense[row, first[row] : first[row] + count[row]] = weight[row, : count[row]] / (1 << 14)
    assert np.abs(dense - reference.resize_matrix(size, out)).max() <= 1.001 / (1 << 14)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 40000), np.uint8),
        [[1, 2], [3, 4]],
        None,
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(KernelError):
        resize(image, 4, 4)


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_an_empty_output_is_refused(size):
    with pytest.raises(KernelError, match="empty"):
        resize(np.zeros((4, 4, 3), np.uint8), *size)


@pytest.mark.parametrize(
    "out", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((8, 8, 3), np.uint8)[::2, ::2]]
)
def test_other_outputs_are_refused(out):
    with pytest.raises(KernelError, match="output"):
        resize_into(np.zeros((4, 4, 3), np.uint8), out)


def test_a_missing_library_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEAD_NATIVE", str(tmp_path))
    library.load.cache_clear()
    try:
        with pytest.raises(KernelError, match="install edgead"):
            resize(np.zeros((4, 4, 3), np.uint8), 2, 2)
    finally:
        library.load.cache_clear()
