from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import DataError
from edgead.web import Limits, Settings
from edgead.web.settings import KEPT, polygon_from_json

SQUARE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]


@pytest.mark.parametrize(
    "document",
    [
        None, 3, [], {}, {"reject": 1}, {"reject": 1, "warn": 0.5, "pixel": 1}, {"reject": 1, "warn": None},
        {"reject": True, "warn": 0}, {"reject": "1", "warn": 0}, {"reject": [1], "warn": 0}, {"reject": 1, "warn": 2},
        {"reject": float("nan"), "warn": 0}, {"reject": float("inf"), "warn": 0}, {"reject": 1, "warn": float("-inf")},
        {"reject": 1e39, "warn": 0}, {"reject": 10**400, "warn": 0},
    ],
)  # fmt: skip
def test_what_is_no_thresholds_is_refused(document):
    with pytest.raises(DataError):
        Limits.from_json(document)


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_thresholds_become_the_nearest_float32(one, other):
    limits = Limits.from_json({"reject": max(one, other), "warn": min(one, other)})
    assert (limits.reject, limits.warn) == (np.float32(max(one, other)), np.float32(min(one, other)))
    assert limits.warn <= limits.reject


@pytest.mark.parametrize(
    "points",
    [
        {}, "all", 7, [], [[0, 0], [1, 1]], [[0, 0], [1, 0], [1, 1, 1]], [[0, 0], [1, 0], "11"],
        [[0, 0], [1, 0], [0.5]],
        [[0, 0], [1, 0], [0.5, 1.01]], [[0, 0], [1, 0], [-0.1, 1]], [[0, 0], [1, 0], [0.5, float("nan")]],
        [[0, 0], [1, 0], [0.5, True]], [[0, 0], [1, 0], [0.5, "1"]], [[0, 0], [1, 1], [1, 0], [0, 1]],
        [[0, 0], [0.5, 0.5], [1, 1]], [[i / 200, (i % 2) / 2] for i in range(101)],
    ],
)  # fmt: skip
def test_what_is_no_area_is_refused(points):
    with pytest.raises(DataError):
        polygon_from_json({"points": points})


def test_an_area_is_read_and_null_is_the_whole_picture():
    assert polygon_from_json({"points": SQUARE}).points == tuple(map(tuple, SQUARE))
    assert polygon_from_json({"points": None}) is None
    with pytest.raises(DataError):
        polygon_from_json({"points": None, "more": 1})


def test_changes_are_carried_out_logged_and_bounded(caplog):
    told = []
    settings = Settings(Limits(1, 0.5), on_limits=told.append)
    for number in range(KEPT + 5):
        settings.set_limits(Limits(2 + number, 1), "10.0.0.7")
    assert told[-1] == settings.limits == Limits(2 + KEPT + 4, 1)
    assert len(settings.changes) == KEPT
    assert "10.0.0.7" in caplog.text and f"Reject from {2 + KEPT + 4}" in settings.changes[0].what
    json.dumps(settings.to_json(), allow_nan=False)


def test_a_change_that_cannot_be_carried_out_changes_nothing():
    def refuse(limits):
        raise DataError("the engine is busy")

    settings = Settings(Limits(1, 0.5), on_limits=refuse)
    with pytest.raises(DataError, match="busy"):
        settings.set_limits(Limits(3, 2), "10.0.0.7")
    assert settings.limits == Limits(1, 0.5) and not settings.changes
    with pytest.raises(DataError, match="cannot be changed"):
        settings.set_area("roi", None, "10.0.0.7")


def test_thresholds_that_the_bundle_gave_are_shown_and_not_carried_out():
    told = []
    settings = Settings(Limits(1, 0.5), on_limits=told.append)
    settings.adopt(Limits(1, 0.5), "the bundle")
    assert not settings.changes
    settings.adopt(Limits(7, 6), "the bundle")
    assert settings.limits == Limits(7, 6) and not told
    assert (settings.changes[0].client, settings.changes[0].what) == ("the bundle", "Reject from 7, warn from 6")


def test_a_run_that_changes_thresholds_keeps_others_out_meanwhile():
    lock, done = threading.RLock(), []
    settings = Settings(Limits(1, 0.5), on_limits=done.append, lock=lock)
    with lock:
        other = threading.Thread(target=settings.set_limits, args=(Limits(3, 2), "10.0.0.7"))
        other.start()
        other.join(0.1)
        assert not done
        settings.adopt(Limits(7, 6), "the bundle")
    other.join()
    assert done == [Limits(3, 2)] and settings.limits == Limits(3, 2)
