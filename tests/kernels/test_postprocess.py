"""Regions against SciPy's labels, the overlay against OpenCV's colours and the oracle in float64."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from edgead.errors import KernelError
from edgead.kernels import library, reference
from edgead.kernels.frame import frame_of
from edgead.kernels.postprocess import REGION, find_regions, overlay, overlay_into

from .native import INSTRUCTION_SETS, digest_here, digest_on_arm, digest_with

ROOT = Path(__file__).parents[2]
TURBO = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_TURBO)[0, :, ::-1]

few = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.nan, np.inf, -np.inf, 1e-42])
some = st.one_of(few, st.floats(width=32))


def maps(elements=few, side=24):
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=side)
    return hnp.arrays(np.float32, shapes, elements=elements)


def labelled(anomaly_map, threshold):
    """(left, top, width, height, area, peak) of SciPy's labels, in the order of their first pixel."""
    with np.errstate(invalid="ignore"):
        labels, count = ndimage.label(anomaly_map >= np.float32(threshold), structure=np.ones((3, 3)))
    found = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels == label
        box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        peak = float(anomaly_map[inside].max())
        found.append((int(np.flatnonzero(inside)[0]), (*box, int(inside.sum()), peak)))
    assert len(found) == count
    return [region for _, region in sorted(found)]


def spiral(side):
    """A line one pixel wide that winds inwards: one region, of which almost every row sees many parts."""
    drawn = np.zeros((side, side), np.float32)
    y, x, down, across = 0, 0, 0, 1
    drawn[0, 0] = 1
    for _ in range(side * side):
        ahead, beyond = (y + down, x + across), (y + 2 * down, x + 2 * across)
        inside = all(0 <= at < side for at in ahead)
        if not inside or (all(0 <= at < side for at in beyond) and drawn[beyond]):
            down, across = across, -down
            if drawn[(y + 2 * down) % side, (x + 2 * across) % side] and drawn[y + down, x + across]:
                break
            continue
        y, x = ahead
        if drawn[y, x]:
            break
        drawn[y, x] = 1
    return drawn


# ---- regions ---------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(maps(), few)
def test_regions_are_those_of_scipy(anomaly_map, threshold):
    found = find_regions(anomaly_map, threshold)
    assert found.dtype == REGION
    assert found.tolist() == labelled(anomaly_map, threshold)


@settings(deadline=None)
@given(maps(some, 9), some)
def test_regions_of_any_numbers_are_those_of_scipy(anomaly_map, threshold):
    assert find_regions(anomaly_map, threshold).tolist() == labelled(anomaly_map, threshold)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (33, 65), (64, 64), (129, 200)])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.7, 0.98])
def test_noise_of_every_density(shape, share):
    random = np.random.default_rng(0)
    for smooth in (0, 0.7, 3):
        anomaly_map = ndimage.gaussian_filter(random.normal(size=shape), smooth).astype(np.float32)
        threshold = float(np.quantile(anomaly_map, 1 - share))
        assert find_regions(anomaly_map, threshold).tolist() == labelled(anomaly_map, threshold)


def test_all_and_nothing():
    ones = np.ones((7, 5), np.float32)
    assert find_regions(ones, 1.0).tolist() == [(0, 0, 5, 7, 35, 1.0)]
    for threshold in (np.nextafter(np.float32(1), np.float32(2)), np.inf, np.nan):
        assert len(find_regions(ones, float(threshold))) == 0
    assert len(find_regions(np.full((3, 3), np.nan, np.float32), -np.inf)) == 0


def test_diagonals_touch_and_lonely_pixels_do_not():
    checkers = (np.indices((9, 8)).sum(axis=0) % 2).astype(np.float32)
    assert find_regions(checkers, 0.5).tolist() == [(0, 0, 8, 9, 36, 1.0)]
    lonely = np.zeros((9, 8), np.float32)
    lonely[::2, ::2] = 1  # the most regions that there can be
    found = find_regions(lonely, 1.0)
    assert len(found) == 5 * 4
    assert (found["area"] == 1).all()
    assert found["top"].tolist() == sorted(found["top"].tolist())


@pytest.mark.parametrize("side", [5, 16, 63, 128])
def test_a_spiral_is_one_region(side):
    drawn = spiral(side)
    for turned in (drawn, drawn[::-1], drawn.T, np.rot90(drawn)):
        turned = np.ascontiguousarray(turned)
        found = find_regions(turned, 1.0)
        assert found.tolist() == labelled(turned, 1.0)
        assert len(found) == 1 and found["area"][0] == drawn.sum() > 2 * side


def test_teeth_join_below():
    """Each tooth is a part of its own until the last row joins them, in either order."""
    comb = np.zeros((6, 41), np.float32)
    comb[:, ::2] = np.arange(21)
    comb[-1] = 1
    comb[:, 0] = 1
    for turned in (comb, comb[:, ::-1], comb[::-1]):
        assert find_regions(turned, 0.5).tolist() == [(0, 0, 41, 6, int((comb > 0.5).sum()), 20.0)]


def test_the_higher_zero_is_the_peak():
    for order in ([0.0, -0.0], [-0.0, 0.0]):
        (peak,) = find_regions(np.array([order], np.float32), 0.0)["peak"]
        assert not np.signbit(peak)
    assert np.signbit(find_regions(np.array([[-0.0]], np.float32), 0.0)["peak"][0])


def test_more_regions_than_there_is_room_for_at_first():
    random = np.random.default_rng(1)
    anomaly_map = random.normal(size=(200, 300)).astype(np.float32)
    found = find_regions(anomaly_map, 1.5)
    assert len(found) > 1000
    assert found.tolist() == labelled(anomaly_map, 1.5)


def test_the_c_interface_counts_beyond_the_capacity():
    lonely = np.zeros((9, 9), np.float32)
    lonely[::2, ::2] = np.arange(25).reshape(5, 5)
    regions, count = np.full(4, -7, np.int32).repeat(6).view(REGION), ctypes.c_int32(-1)
    function, address = library.load().edgead_regions, ctypes.c_void_p
    arguments = (address(lonely.ctypes.data), 9, 9, ctypes.c_float(1))
    assert function(*arguments, address(regions.ctypes.data), 3, ctypes.byref(count)) == 0
    assert count.value == 24
    assert regions[:3].tolist() == [(2 * i, 0, 1, 1, 1, float(i)) for i in (1, 2, 3)]
    assert regions.view(np.int32)[18:].tolist() == [-7] * 6
    assert function(*arguments, None, 0, ctypes.byref(count)) == 0
    assert count.value == 24
    assert function(*arguments, None, -1, ctypes.byref(count)) == 4
    for sides in ((0, 9), (9, 0), (4097, 9), (9, 4097)):
        assert function(arguments[0], *sides, arguments[3], None, 0, ctypes.byref(count)) == 1


def test_a_large_map():
    anomaly_map = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(90, 4096)), 4).astype(np.float32)
    threshold = float(np.quantile(anomaly_map, 0.8))
    assert find_regions(anomaly_map, threshold).tolist() == labelled(anomaly_map, threshold)


def test_maps_that_are_not_in_order_are_read():
    anomaly_map = np.random.default_rng(3).normal(size=(40, 50)).astype(np.float32)
    for view in (anomaly_map.T, anomaly_map[::-2, 3:-1], np.asfortranarray(anomaly_map)):
        assert find_regions(view, 0.5).tolist() == labelled(view, 0.5)


# ---- overlay ---------------------------------------------------------------------------------------------------------


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def close(got, expected, steep):
    """Within a rounding; a heat on the edge between two colours may take either."""
    difference = np.abs(got - expected).max(axis=2)
    return difference.max() <= 0.51 + steep and (difference > 0.51).mean() < 0.005


STEEP = np.abs(np.diff(TURBO.astype(int), axis=0)).max() * 0.65  # between neighbouring colours, at the greatest weight


def test_the_colours_are_those_of_opencv():
    """At their own heat, over black: the weight is the only other thing that makes the pixel."""
    heat = (np.arange(256) / 255).astype(np.float32)
    got = overlay(np.zeros((1, 256, 3), np.uint8), heat[None], 0, 1)[0]
    weight = 0.65 * np.minimum(1, 1.5 * heat.astype(np.float64))
    assert np.abs(got - TURBO * weight[:, None]).max() <= 0.5 + 1e-3


def test_the_table_is_that_of_opencv():
    """Every bit of it, as the header has it."""
    text = (ROOT / "kernels/include/edgead/postprocess.h").read_text()
    table = [int(value, 16) for value in re.findall(r"\b0x([0-9a-f]{6})\b", text)]
    expected = TURBO.astype(int) @ [1 << 16, 1 << 8, 1]
    assert table == expected.tolist()


@settings(deadline=None)
@given(maps(st.one_of(few, st.floats(-1, 3, width=32)), 12), st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
def test_an_overlay_is_that_of_the_oracle(anomaly_map, height, width, seed):
    image = picture(height, width, seed)
    got = overlay(image, anomaly_map, 0.25, 1.75)
    assert got.shape == image.shape and got.dtype == np.uint8
    difference = np.abs(got - reference.overlay(image, anomaly_map, 0.25, 1.75, TURBO)).max(axis=2)
    assert difference.max() <= 0.51 + STEEP


@pytest.mark.parametrize(("height", "width"), [(270, 480), (96, 128), (31, 33), (700, 513)])
@pytest.mark.parametrize("sides", [(1, 1), (1, 9), (32, 32), (64, 48), (256, 256)])
def test_larger_overlays_are_those_of_the_oracle(height, width, sides):
    random = np.random.default_rng(4)
    anomaly_map = ndimage.gaussian_filter(random.normal(size=sides), 2).astype(np.float32)
    low, high = (float(each) for each in np.quantile(anomaly_map, [0.2, 0.9]))
    image = picture(height, width)
    got = overlay(image, anomaly_map, low, high)
    assert close(got, reference.overlay(image, anomaly_map, np.float32(low), np.float32(high), TURBO), STEEP)


def test_low_leaves_the_picture_and_high_hides_most_of_it():
    image = picture(40, 60)
    for value in (-np.inf, -5, 2):
        assert np.array_equal(overlay(image, np.full((4, 4), value, np.float32), 2, 3), image)
    hottest = np.rint(image * (1 - 0.65) + TURBO[255] * 0.65)
    for value in (3, 99, np.inf, np.nan):
        assert np.abs(overlay(image, np.full((4, 4), value, np.float32), 2, 3) - hottest).max() <= 1
    step = overlay(image, np.array([[1, 2]], np.float32), 2, 2)  # no range: up to it nothing, beyond it all
    assert np.array_equal(step, image)


def test_bgr_is_rgb_the_other_way_round():
    image, anomaly_map = picture(37, 53), np.random.default_rng(5).random((9, 7), np.float32)
    expected = overlay(image, anomaly_map, 0, 1, threshold=0.7, line=(1, 2, 3))
    bgr = np.ascontiguousarray(image[..., ::-1])
    assert np.array_equal(overlay(bgr, anomaly_map, 0, 1, threshold=0.7, line=(1, 2, 3), layout="bgr"), expected)
    swapped = overlay(image, anomaly_map, 0, 1, threshold=0.7, line=(1, 2, 3), bgr=True)
    assert np.array_equal(swapped[..., ::-1], expected)


@pytest.mark.parametrize(
    ("layout", "shape", "code"),
    [
        ("gray", (36, 50), cv2.COLOR_GRAY2RGB),
        ("nv12", (54, 50), cv2.COLOR_YUV2RGB_NV12),
        ("yuyv", (36, 50, 2), cv2.COLOR_YUV2RGB_YUY2),
    ],
)
def test_every_layout_is_read_as_opencv_reads_it(layout, shape, code):
    image = np.random.default_rng(6).integers(0, 256, shape, np.uint8)
    anomaly_map = np.random.default_rng(7).random((5, 6), np.float32)
    expected = overlay(np.asarray(cv2.cvtColor(image, code), np.uint8), anomaly_map, 0, 1, threshold=0.8)
    assert np.array_equal(overlay(image, anomaly_map, 0, 1, threshold=0.8, layout=layout), expected)
    apart = np.zeros((shape[0], shape[1] + 6, *shape[2:]), np.uint8)
    apart[:, 2:-4] = image
    assert np.array_equal(overlay(apart[:, 2:-4], anomaly_map, 0, 1, threshold=0.8, layout=layout), expected)


@pytest.mark.parametrize("threads", [2, 3, 7, 64])
def test_the_number_of_threads_changes_no_bit(threads):
    image, anomaly_map = picture(401, 603), np.random.default_rng(8).random((40, 50), np.float32)
    expected = overlay(image, anomaly_map, 0, 1, threshold=0.9)
    assert np.array_equal(overlay(image, anomaly_map, 0, 1, threshold=0.9, threads=threads), expected)


# ---- outline ---------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(maps(few, 12), few, st.integers(1, 60), st.integers(1, 60))
def test_an_outline_is_that_of_the_oracle(anomaly_map, threshold, height, width):
    image = picture(height, width) // 2
    got = overlay(image, anomaly_map, 3e38, 3.1e38, threshold=threshold, line=(255, 200, 150))
    plain = overlay(image, anomaly_map, 3e38, 3.1e38)
    with np.errstate(invalid="ignore"):
        line = reference.outline(anomaly_map >= np.float32(threshold), height, width)
    assert np.array_equal(got, np.where(line[..., None], np.array([255, 200, 150], np.uint8), plain))


@pytest.mark.parametrize(
    ("height", "width", "side"), [(1080, 1500, 60), (700, 900, 256), (650, 480, 700), (100, 90, 300)]
)
def test_larger_outlines_are_those_of_the_oracle(height, width, side):
    anomaly_map = ndimage.gaussian_filter(np.random.default_rng(9).normal(size=(side, side + 9)), 3).astype(np.float32)
    threshold = float(np.quantile(anomaly_map, 0.9))
    got = overlay(np.zeros((height, width, 3), np.uint8), anomaly_map, 3e38, 3.1e38, threshold=threshold)
    line = reference.outline(anomaly_map >= np.float32(threshold), height, width)
    assert 0 < line.mean() < 0.9
    assert np.array_equal(got, np.where(line[..., None], 255, 0) * np.ones(3, np.uint8))


def test_a_line_is_as_wide_as_the_picture_asks_for():
    """Two pixels where pictures are small, eight at 1080; half of them inside of the region."""
    anomaly_map = np.zeros((4, 4), np.float32)
    anomaly_map[:, 2:] = 1
    for side, wide in ((64, 2), (288, 2), (480, 4), (1080, 8)):
        got = overlay(np.zeros((side, side, 3), np.uint8), anomaly_map, 2, 3, threshold=1)
        (columns,) = np.nonzero(got[side // 2, :, 0])
        inner = columns[columns < side * 3 // 4]
        assert inner.tolist() == list(range(side // 2 - wide // 2, side // 2 + wide // 2))
        assert (got[side // 2, -wide // 2 :] == 255).all() and got[side // 2, -wide // 2 - 1, 0] == 0  # closed


# ---- what is refused -------------------------------------------------------------------------------------------------

MAP = np.zeros((4, 5), np.float32)
PHOTO = np.zeros((6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("anomaly_map", "message"),
    [
        (MAP.astype(np.float64), "the map is float64, not float32"),
        (MAP.astype(">f4"), "the map is >f4"),
        ([[1.0]], "the map is list"),
        (MAP[0], r"shape \(5,\)"),
        (MAP[None], r"shape \(1, 4, 5\)"),
        (MAP[:0], r"shape \(0, 5\)"),
        (np.zeros((1, 4097), np.float32), "sides of 1 to 4096"),
    ],
)
def test_other_maps_are_refused(anomaly_map, message):
    with pytest.raises(KernelError, match=message):
        find_regions(anomaly_map, 0.0)
    with pytest.raises(KernelError, match=message):
        overlay(PHOTO, anomaly_map, 0, 1)


@pytest.mark.parametrize(
    ("image", "layout", "message"),
    [
        (PHOTO.astype(np.float32), "rgb", "the frame is float32, not uint8"),
        (PHOTO[..., :2], "rgb", r"give \[h, w, 3\] for rgb"),
        (PHOTO, "gray", r"give \[h, w\] for gray"),
        (PHOTO, "yuyv", r"give \[h, w, 2\] for yuyv"),
        (PHOTO[:, :7, :2], "yuyv", "sides that yuyv can have"),
        (PHOTO[:, :7, 0], "nv12", "sides that nv12 can have"),
        (PHOTO[:5, :, 0], "nv12", "sides that nv12 can have"),
        (PHOTO[:3, :, 0].repeat(3, axis=0), "nv12", None),
        (PHOTO[:0], "rgb", r"shape \(0, 8, 3\)"),
        (PHOTO, "hsv", "no layout 'hsv'"),
    ],
)
def test_other_frames_are_refused(image, layout, message):
    if message is None:
        assert frame_of(image, layout).height == 6
        return
    with pytest.raises(KernelError, match=message):
        overlay(image, MAP, 0, 1, layout=layout)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((6, 8, 3)), r"output is float64.* give uint8 \[6, 8, 3\]"),
        (np.zeros((6, 8), np.uint8), "output is uint8"),
        (None, "output is NoneType"),
        (np.zeros((6, 16, 3), np.uint8)[:, ::2], "not contiguous"),
        (np.broadcast_to(np.uint8(0), (6, 8, 3)), "not contiguous and writeable"),
        (PHOTO, "shares memory"),
    ],
)
def test_other_outputs_are_refused(out, message):
    with pytest.raises(KernelError, match=message):
        overlay_into(PHOTO, MAP, 0, 1, out)


def test_other_numbers_are_refused():
    with pytest.raises(KernelError, match="0 threads"):
        overlay(PHOTO, MAP, 0, 1, threads=0)
    with pytest.raises(KernelError, match="line's colour"):
        overlay(PHOTO, MAP, 0, 1, line=(0, 256, 0))


# ---- other machines --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return digest_here("postprocess", tmp_path_factory.mktemp("here"))


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "needed"), INSTRUCTION_SETS)
def test_every_instruction_set_gives_the_same_bits(here, flag, needed, tmp_path):
    assert digest_with("postprocess", tmp_path, flag, needed) == here


@pytest.mark.slow
def test_an_arm_gives_the_same_bits(here, tmp_path):
    assert digest_on_arm("postprocess", tmp_path) == here
