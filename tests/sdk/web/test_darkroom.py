from __future__ import annotations

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgead.web.board import Latest
from edgead.web.darkroom import REJECTS, WAITING, Darkroom
from edgead.web.picture import annotated, jpeg
from tests.sdk.web.conftest import judged


@pytest.fixture
def darkroom():
    made = Darkroom((0, 1))
    yield made
    made.close()


@pytest.mark.parametrize("shape", [(96, 128, 3), (96, 128), (96, 128, 1), (300, 40, 3), (1, 1, 3)])
@pytest.mark.parametrize("maps", [True, False])
def test_the_picture_is_the_frame_and_nothing_around_it(shape, maps):
    result, _ = judged(0, 0.1)
    if not maps:
        nothing = np.zeros((0, 0), np.float32)
        result = replace(result, anomaly_map=nothing, pred_mask=nothing.astype(bool))
    picture = annotated(result, np.full(shape, 70, np.uint8), (0, 1), 80)
    assert max(picture.shape[:2]) == min(80, max(shape[:2]))
    assert picture.shape[1] / picture.shape[0] == pytest.approx(shape[1] / shape[0], rel=0.1)
    assert picture.shape[2] == 3
    assert cv2.imdecode(np.frombuffer(jpeg(picture), np.uint8), cv2.IMREAD_COLOR).shape == picture.shape


def test_a_reject_is_boxed_where_its_region_is_and_warm_where_its_map_is():
    result, frame = judged(0, 1.5, side=480)
    picture = annotated(result, frame.image, (0, 1), 640).astype(int)
    x, y, wide, _ = result.regions[0].box
    red = picture[..., 2] - picture[..., 0] > 120
    rows, columns = np.nonzero(red)
    assert columns.min() == pytest.approx(min(x, 160), abs=4) and rows.min() == pytest.approx(min(y, 160), abs=4)
    assert columns.max() == pytest.approx(max(x + wide, 320), abs=4)
    assert (picture[:100] == 60).all()  # nothing where the map is 0


def test_without_a_scale_a_map_of_nothing_shows_nothing():
    darkroom = Darkroom()
    result, frame = judged(0, 0.0)
    picture = cv2.imdecode(np.frombuffer(darkroom.live(0, Latest(1, result, frame), 480).result(5), np.uint8), 1)
    assert abs(picture.astype(int) - frame.image).max() <= 3
    darkroom.close()


def test_a_large_frame_is_made_small_without_moving():
    image = np.zeros((1080, 1920, 3), np.uint8)
    image[270:540, 480:960] = 200
    small = annotated(replace(judged(0, 0.0)[0], anomaly_map=np.zeros((0, 0), np.float32)), image, (0, 1), 800)
    inside = np.argwhere(small[..., 0] > 100)
    assert small.shape == (450, 800, 3)
    assert inside.min(axis=0) == pytest.approx([112.5, 200], abs=1)
    assert inside.max(axis=0) == pytest.approx([224, 399], abs=1)


def test_those_who_look_share_one_picture(darkroom, monkeypatch):
    made = []
    monkeypatch.setattr(darkroom, "_jpeg", lambda result, frame, longest: made.append(longest) or b"jpeg")
    latest = Latest(1, *judged(0, 0.1))
    for future in [darkroom.live(0, latest, 480) for _ in range(20)] + [darkroom.live(0, latest, 800)]:
        assert future.result(5) == b"jpeg"
    assert made == [480, 800]
    darkroom.live(0, Latest(2, *judged(1, 0.1)), 480).result(5)
    assert made == [480, 800, 480]


def test_a_burst_of_rejects_keeps_few_frames_and_all_numbers(darkroom, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(darkroom, "_jpeg", lambda result, frame, longest: gate.wait(10) and b"jpeg")
    for number in range(REJECTS + 6):
        darkroom.keep(0, *judged(number, 1.5))
    assert darkroom._waiting == WAITING
    gate.set()
    darkroom.live(0, Latest(1, *judged(0, 0.1)), 480).result(5)  # after all that wait
    listed = darkroom.rejects()
    assert [one["frame_id"] for one in listed] == list(range(REJECTS + 5, 5, -1))
    assert {one["picture"] for one in listed} == {"skipped"}  # the first four had pictures, and have left the ring
    darkroom.keep(0, *judged(99, 1.5))
    darkroom.live(0, Latest(2, *judged(0, 0.1)), 480).result(5)
    assert darkroom.rejects()[0]["picture"] == "made" and darkroom.reject(REJECTS + 7).picture == b"jpeg"
    assert darkroom.reject(1) is None
