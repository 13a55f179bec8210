from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgead.frame import LostFrame
from edgead.web import board as boards
from edgead.web.board import FAULTS, POINTS, Board
from tests.sdk.web.conftest import judged


def test_counts_percentiles_and_points_are_those_of_the_results():
    board = Board()
    scores = np.random.default_rng(0).uniform(0, 1.5, 500)
    for number, score in enumerate(scores):
        board.add(*judged(number, float(score)))
    shown = board.to_json(0, 0)
    (camera,) = shown["cameras"]
    assert camera["judged"] == 500
    assert camera["verdicts"] == {
        "accept": int((scores < 0.6).sum()),
        "warn": int(((scores >= 0.6) & (scores < 1)).sum()),
        "reject": int((scores >= 1).sum()),
    }
    assert [point["score"] for point in shown["points"]] == scores[-POINTS:].tolist()
    assert [point["number"] for point in shown["points"]] == list(range(500 - POINTS + 1, 501))
    assert camera["stages"]["total"]["p50"] == pytest.approx(10, rel=0.03)  # of 8, 9, 10, 11, 12
    assert set(camera["stages"]) == {"capture", "prepare", "infer", "total"}


def test_a_reader_gets_only_what_it_has_not_seen():
    board = Board()
    for number in range(10):
        board.add(*judged(number, 0.1))
    assert [point["number"] for point in board.to_json(0, 7)["points"]] == [8, 9, 10]


def test_the_score_is_the_one_that_the_verdict_was_made_of():
    board = Board()
    result, frame = judged(0, 1.4)
    board.add(replace(result, ruled_score=0.3), frame)
    board.add(replace(result, raw_score=math.inf), frame)
    assert [point["score"] for point in board.to_json(0, 0)["points"]] == [0.3, None]


def test_each_camera_has_its_own_counts_and_unknown_sources_are_the_first():
    board = Board(("cam-a", "cam-b"))
    for source in ("cam-a", "cam-b", "cam-b", "parts/7.png"):
        board.add(*judged(0, 0.1, source))
    board.lose(LostFrame(1, "cam-b", 0.0, "torn"))
    assert [(one["judged"], one["lost"]) for one in board.to_json(0, 0)["cameras"]] == [(2, 0), (2, 1)]
    assert len(board.to_json(1, 0)["points"]) == 2


def test_a_camera_is_stale_after_its_own_patience(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(boards.time, "monotonic", lambda: now)
    board = Board()
    (camera,) = board.cameras
    assert (camera.state, camera.age, camera.rate) == ("waiting", None, 0)
    for number in range(20):
        board.add(*judged(number, 0.1))
        now += 0.5
    assert (camera.state, camera.rate) == ("live", pytest.approx(2, rel=0.06))
    now += 2.6  # 3.1 s since the last one
    assert (camera.state, camera.age) == ("stale", pytest.approx(3.1))
    for number in range(300):  # a slow line: one part in ten seconds
        now += 10
        board.add(*judged(number, 0.1))
    now += 45
    assert (camera.state, camera.patience) == ("live", pytest.approx(50))
    now += 10
    assert camera.state == "stale"


def test_memory_is_bounded():
    board = Board()
    for number in range(2000):
        board.add(*judged(number, 0.1, side=8))
        board.lose(LostFrame(number, "x", 0.0, "torn"))
    shown = board.to_json(0, 0)
    assert (len(shown["points"]), len(shown["faults"])) == (POINTS, FAULTS)
    assert shown["faults"][0]["frame_id"] == 1999
