"""From frames to images: against OpenCV's colours, the resize, float64, and itself on other machines."""

from __future__ import annotations

import ctypes

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgead.errors import KernelError
from edgead.kernels import library, preprocess, preprocess_into, reference, resize
from edgead.kernels.frame import AreaStruct, frame_struct

from .native import INSTRUCTION_SETS, digest_here, digest_on_arm, digest_with

LAYOUTS = ("bgr", "rgb", "gray", "nv12", "yuyv")
ROUNDING = 0.55  # as the resize's: it is rounded once, after weights of 14 bits

layouts = st.sampled_from(LAYOUTS)
sides = st.integers(1, 40)
seeds = st.integers(0, 2**31)


def frame_of(layout, height, width, seed=0):
    """A frame with at least these sides, as one array."""
    height += height % 2 if layout == "nv12" else 0
    width += width % 2 if layout in ("nv12", "yuyv") else 0
    rows = height * 3 // 2 if layout == "nv12" else height
    last = {"bgr": (3,), "rgb": (3,), "yuyv": (2,)}.get(layout, ())
    return np.random.default_rng(seed).integers(0, 256, (rows, width, *last), np.uint8)


def size_of(frame, layout):
    return frame.shape[0] * 2 // 3 if layout == "nv12" else frame.shape[0], frame.shape[1]


def apart(array, gap, offset):
    """The same numbers in rows that lie `gap` bytes apart, from an address on that is no multiple of anything."""
    rows = array.reshape(len(array), -1)
    pitch = rows.shape[1] + gap
    buffer = np.full(offset + pitch * len(rows), 77, np.uint8)
    padded = buffer[offset:].reshape(len(rows), pitch)[:, : rows.shape[1]]
    padded[...] = rows
    return np.lib.stride_tricks.as_strided(padded, array.shape, (pitch, *array.strides[1:]))


@st.composite
def frames_with_areas(draw):
    """layout, frame, area"""
    layout = draw(layouts)
    frame = frame_of(layout, draw(sides), draw(sides), draw(seeds))
    height, width = size_of(frame, layout)
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return layout, frame, (left, top, draw(st.integers(1, width - left)), draw(st.integers(1, height - top)))


def by_opencv(frame, layout):
    """RGB, by OpenCV."""
    codes = {"bgr": "BGR2RGB", "gray": "GRAY2RGB", "nv12": "YUV2RGB_NV12", "yuyv": "YUV2RGB_YUY2"}
    return frame if layout == "rgb" else cv2.cvtColor(frame, getattr(cv2, f"COLOR_{codes[layout]}"))


# ---- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["nv12", "yuyv"])
def test_every_yuv_is_the_rgb_of_opencv_and_of_the_standard(layout):
    """Every Y, U and V: for one U at a time, Y along the rows and V along pairs of columns."""
    light = np.repeat(np.repeat(np.arange(256, dtype=np.uint8), 2)[:, None], 512, axis=1)
    for u in range(256):
        chroma = np.empty((256, 512), np.uint8)
        chroma[:, ::2], chroma[:, 1::2] = u, np.arange(256)
        nv12 = layout == "nv12"
        frame = np.concatenate([light, chroma]) if nv12 else np.stack([light, chroma.repeat(2, axis=0)], axis=2)
        got = preprocess(frame, 512, 512, layout=layout)
        assert np.array_equal(got, by_opencv(frame, layout))
        assert u % 16 or np.array_equal(got, reference.rgb_of_frame(frame, layout))


@settings(deadline=None)
@given(layouts, sides, sides, seeds, sides, sides)
def test_it_is_the_resize_of_the_frame_that_opencv_converts(layout, height, width, seed, out_height, out_width):
    frame = frame_of(layout, height, width, seed)
    expected = resize(by_opencv(frame, layout), out_height, out_width)
    assert np.array_equal(preprocess(frame, out_height, out_width, layout=layout), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_large_frame_is_the_resize_of_the_frame_that_opencv_converts(layout, threads):
    frame = frame_of(layout, 1080, 1920)
    expected = resize(by_opencv(frame, layout), 256, 224)
    assert np.array_equal(preprocess(frame, 256, 224, layout=layout, threads=threads), expected)


# ---- values ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(frames_with_areas(), sides, sides)
def test_it_is_the_float64_definition_rounded_once(given_, height, width):
    layout, frame, (left, top, across, down) = given_
    rgb = reference.rgb_of_frame(frame, layout)[top : top + down, left : left + across]
    got = preprocess(frame, height, width, layout=layout, area=(left, top, across, down))
    assert (got.shape, got.dtype) == ((height, width, 3), np.uint8)
    assert np.abs(got - reference.resize(rgb, height, width)).max() <= ROUNDING


@settings(deadline=None)
@given(frames_with_areas(), sides, sides)
def test_an_area_is_the_crop_of_the_converted_frame(given_, height, width):
    layout, frame, (left, top, across, down) = given_
    rgb = preprocess(frame, *size_of(frame, layout), layout=layout)
    expected = resize(rgb[top : top + down, left : left + across], height, width)
    assert np.array_equal(preprocess(frame, height, width, layout=layout, area=(left, top, across, down)), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_areas_of_one_pixel_and_on_every_border(layout):
    frame = frame_of(layout, 6, 8)
    rgb = by_opencv(frame, layout)
    for y, x in np.ndindex(6, 8):
        assert (preprocess(frame, 2, 3, layout=layout, area=(x, y, 1, 1)) == rgb[y, x]).all()
        for area in ((0, y, x + 1, 6 - y), (x, 0, 8 - x, y + 1)):
            left, top, across, down = area
            expected = resize(rgb[top : top + down, left : left + across], 5, 4)
            assert np.array_equal(preprocess(frame, 5, 4, layout=layout, area=area), expected)


@settings(deadline=None)
@given(frames_with_areas(), seeds)
def test_what_lies_beside_an_area_changes_nothing(given_, seed):
    """But for the U and V that its border shares with it."""
    layout, frame, (left, top, across, down) = given_
    shares = layout in ("nv12", "yuyv")
    height, width = size_of(frame, layout)
    rows, columns = np.arange(height), np.arange(width)
    pairs = (columns // 2 >= left // 2) & (columns // 2 <= (left + across - 1) // 2)
    within = pairs if shares else (columns >= left) & (columns < left + across)
    kept = np.zeros(frame.shape, bool)
    kept[:height][(rows >= top) & (rows < top + down)] = within.reshape(1, -1, *[1] * (frame.ndim - 2))
    if layout == "nv12":
        chroma = np.arange(height // 2)
        kept[height:][(chroma >= top // 2) & (chroma <= (top + down - 1) // 2)] = within
    noise = frame_of(layout, height, width, seed + 1)
    area = (left, top, across, down)
    expected = preprocess(frame, 7, 9, layout=layout, area=area)
    assert np.array_equal(preprocess(np.where(kept, frame, noise), 7, 9, layout=layout, area=area), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_more_rows_than_are_kept_converted(layout):
    """One output of hundreds of rows and thousands of columns."""
    frame = frame_of(layout, 300, 3000)
    rgb = by_opencv(frame, layout)
    for size in ((1, 1), (2, 3), (5, 200)):
        assert np.array_equal(preprocess(frame, *size, layout=layout), resize(rgb, *size))
        assert np.abs(preprocess(frame, *size, layout=layout) - reference.resize(rgb, *size)).max() <= ROUNDING


# ---- memory ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(frames_with_areas(), st.integers(0, 9), st.integers(0, 9), st.integers(1, 70))
def test_rows_may_be_apart_and_lie_anywhere(given_, gap, offset, threads):
    layout, frame, area = given_
    expected = preprocess(frame, 9, 11, layout=layout, area=area)
    moved = apart(frame, gap, offset)
    assert np.array_equal(preprocess(moved, 9, 11, layout=layout, area=area, threads=threads), expected)


@settings(deadline=None)
@given(frames_with_areas(), st.integers(0, 9), st.integers(0, 9))
def test_a_pair_of_planes_is_taken_as_one_array(given_, gap, other_gap):
    _, _, area = given_
    frame = frame_of("nv12", 40, 40)
    expected = preprocess(frame, 9, 11, layout="nv12", area=area)
    light, chroma = apart(frame[:40], gap, 1), apart(frame[40:], other_gap, 3)
    assert np.array_equal(preprocess((light, chroma), 9, 11, layout="nv12", area=area), expected)
    pairs = chroma.reshape(20, 20, 2)
    assert np.array_equal(preprocess((light, pairs), 9, 11, layout="nv12", area=area), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_order_is_taken(layout):
    frame = frame_of(layout, 12, 18)
    row = frame_of(layout, 2, 18)[:1] if layout != "nv12" else None
    for view in (frame[::-1], frame[:, ::-1], np.asfortranarray(frame), frame[:, :12][:, ::2], frame[::3]):
        if layout == "nv12" and len(view) % 3:
            continue
        expected = preprocess(np.array(view, order="C"), 7, 5, layout=layout)
        assert np.array_equal(preprocess(view, 7, 5, layout=layout), expected)
    if row is not None:
        for rows in (1, 4):  # the same row again and again
            view = np.broadcast_to(row, (rows, *row.shape[1:]))
            assert np.array_equal(preprocess(view, 7, 5, layout=layout), preprocess(view.copy(), 7, 5, layout=layout))


def test_gray_may_have_a_third_axis():
    frame = frame_of("gray", 9, 7)
    assert np.array_equal(preprocess(frame[:, :, None], 4, 4, layout="gray"), preprocess(frame, 4, 4, layout="gray"))


def test_into_writes_only_the_output():
    frame, guard = frame_of("yuyv", 50, 60), np.zeros((3, 16, 12, 3), np.uint8)
    preprocess_into(frame, guard[1], layout="yuyv", threads=3)
    assert np.array_equal(guard[1], preprocess(frame, 16, 12, layout="yuyv"))
    assert not guard[0].any() and not guard[2].any()


# ---- what is refused -------------------------------------------------------------------------------------------------

BGR = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("frame", "layout", "message"),
    [
        (BGR.astype(np.float32), "bgr", "float32, not uint8"),
        ([[1, 2]], "gray", "list, not uint8"),
        (BGR[..., :2], "bgr", r"shape \(4, 6, 2\)"),
        (BGR, "gray", "shape"),
        (BGR, "yuyv", "shape"),
        (BGR[:0], "rgb", "shape"),
        (BGR[:, :5, :2], "yuyv", "sides that yuyv can have"),
        (BGR[..., 0], "nv12", "sides that nv12 can have"),
        (BGR[:3, :5, 0], "nv12", "sides that nv12 can have"),
        (np.zeros((9, 4), np.uint8)[:9, :3], "nv12", "sides that nv12 can have"),
        (BGR, "rgba", "no layout 'rgba'"),
        ((BGR[..., 0],), "nv12", "1 planes"),
        ((BGR[..., 0], BGR[:2, :, 0]), "gray", "2 planes for the layout 'gray'"),
        ((BGR[..., 0], BGR[..., 0]), "nv12", r"shapes \(4, 6\) and \(4, 6\)"),
        ((BGR[:, :5, 0], BGR[:2, :5, 0]), "nv12", "h and w even"),
        ((BGR[..., 0], None), "nv12", "NoneType, not uint8"),
        (np.zeros((1, 40000), np.uint8), "gray", "larger than 32768"),
    ],
)
def test_other_frames_are_refused(frame, layout, message):
    with pytest.raises(KernelError, match=message):
        preprocess(frame, 4, 4, layout=layout)


@pytest.mark.parametrize(
    "area",
    [(-1, 0, 2, 2), (0, -1, 2, 2), (0, 0, 0, 2), (0, 0, 2, 0), (5, 0, 2, 1), (0, 3, 1, 2), (0, 0, 7, 1), (0, 0, 1, 5)],
)
def test_areas_that_leave_the_frame_are_refused(area):
    with pytest.raises(KernelError, match="leaves the frame of 6 x 4 pixels"):
        preprocess(BGR, 4, 4, area=area)


def test_an_area_is_of_whole_pixels():
    assert np.array_equal(preprocess(BGR, 4, 4, area=tuple(np.int64([1, 1, 2, 2]))), np.zeros((4, 4, 3)))
    with pytest.raises(TypeError):
        preprocess(BGR, 4, 4, area=(0, 0, 1.5, 2))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((4, 4), np.uint8), "output is uint8"),
        (np.zeros((4, 4, 3)), "output is float64"),
        ([], "output is list"),
        (np.zeros((0, 4, 3), np.uint8), "output is uint8"),
        (np.zeros((4, 8, 3), np.uint8)[:, ::2], "not contiguous"),
        (np.broadcast_to(np.uint8(0), (1, 1, 3)), "not contiguous and writeable"),
        (BGR, "shares memory"),
        (np.zeros((1, 40000, 3), np.uint8), "larger than 32768"),
    ],
)
def test_other_outputs_are_refused(out, message):
    with pytest.raises(KernelError, match=message):
        preprocess_into(BGR, out)


def test_an_output_over_a_plane_is_refused():
    light, chroma = np.zeros((4, 6), np.uint8), np.zeros((2, 6), np.uint8)
    with pytest.raises(KernelError, match="shares memory"):
        preprocess_into((light, chroma), chroma.reshape(2, 2, 3), layout="nv12")


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_an_empty_output_is_refused(size):
    with pytest.raises(KernelError, match="empty"):
        preprocess(BGR, *size)


def test_no_threads_are_refused():
    with pytest.raises(KernelError, match="0 threads"):
        preprocess(BGR, 4, 4, threads=0)


@pytest.mark.parametrize(
    ("frame", "area", "message"),
    [
        (frame_struct("gray", 4, 4, 1 << 12, 3), (0, 0, 4, 4), "layout"),
        (frame_struct("nv12", 4, 4, 1 << 12, 4), (0, 0, 4, 4), "layout"),  # without chroma
        (frame_struct("nv12", 3, 4, 1 << 12, 4, 1 << 13, 4), (0, 0, 3, 4), "layout"),
        (frame_struct("gray", 0, 4, 1 << 12, 4), (0, 0, 1, 1), "side"),
        (frame_struct("gray", 4, 4, 1 << 12, 4), (1, 0, 4, 4), "side"),
    ],
)
def test_the_c_interface_refuses_what_is_no_frame(frame, area, message):
    out = np.full((1, 1, 3), 7, np.uint8)
    status = library.load().edgead_preprocess(
        ctypes.byref(frame), ctypes.byref(AreaStruct(*area)), ctypes.c_void_p(out.ctypes.data), 1, 1, 1
    )
    with pytest.raises(KernelError, match=message):
        library.check(status, "preprocess")
    assert (out == 7).all()


# ---- other machines --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return digest_here("preprocess", tmp_path_factory.mktemp("here"))


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "needed"), INSTRUCTION_SETS)
def test_every_instruction_set_gives_the_same_bits(here, flag, needed, tmp_path):
    assert digest_with("preprocess", tmp_path, flag, needed) == here


@pytest.mark.slow
def test_an_arm_gives_the_same_bits(here, tmp_path):
    assert digest_on_arm("preprocess", tmp_path) == here
