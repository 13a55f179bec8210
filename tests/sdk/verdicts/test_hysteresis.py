from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import DataError
from edgead.result import Verdict
from edgead.verdicts import Hysteresis
from edgead.verdicts.hysteresis import SteadyVerdict

A, W, R = Verdict.ACCEPT, Verdict.WARN, Verdict.REJECT


@st.composite
def rules(draw):
    frames = draw(st.integers(1, 7))
    reject = draw(st.integers(1, frames))
    return Hysteresis(reject, frames, draw(st.integers(frames - reject + 1, frames)))


@given(rules(), st.lists(st.sampled_from([A, W, R]), max_size=40))
def test_it_is_the_definition_read_aloud(rule, verdicts):
    """For each frame: from the whole list up to it, who turned the verdict last?"""
    steady = SteadyVerdict(rule)
    said = [steady.add(verdict) for verdict in verdicts]
    rejecting = False
    for place, verdict in enumerate(verdicts):
        last = verdicts[max(0, place + 1 - rule.frames) : place + 1]
        if not rejecting and last.count(R) >= rule.reject:
            rejecting = True
        elif rejecting and last.count(A) + last.count(W) >= rule.release:
            rejecting = False
        assert said[place] is (R if rejecting else W if verdict is R else verdict)


@given(rules(), st.lists(st.sampled_from([A, W, R]), max_size=40))
def test_no_window_meets_both_conditions(rule, verdicts):
    for place in range(len(verdicts)):
        last = verdicts[max(0, place + 1 - rule.frames) : place + 1]
        bad = last.count(R)
        assert not (bad >= rule.reject and len(last) - bad >= rule.release)


def test_one_bad_frame_of_five_is_a_warning():
    steady = SteadyVerdict(Hysteresis.parse("3/5"))
    assert [steady.add(v) for v in (A, R, A, A, R, A, R, R)] == [A, W, A, A, W, A, W, R]
    assert [steady.add(v) for v in (A, W, A)] == [R, W, A]


def test_one_of_one_changes_nothing():
    steady = SteadyVerdict(Hysteresis(1, 1))
    sequence = [A, R, W, R, R, A]
    assert [steady.add(v) for v in sequence] == sequence


@pytest.mark.parametrize(("text", "release"), [("3/5", 3), ("2/5", 4), ("5/5", 5), ("1/1", 1)])
def test_words_and_the_usual_release(text, release):
    assert Hysteresis.parse(text).release == release


@pytest.mark.parametrize("numbers", [(0, 5), (6, 5), (3, 5, 0), (3, 5, 6), (2, 5, 3)])
def test_numbers_that_cannot_be_are_refused(numbers):
    with pytest.raises(DataError, match="hysteresis"):
        Hysteresis(*numbers)


@pytest.mark.parametrize("text", ["", "3", "3/5/7", "a/b", "-1/5", "3 of 5"])
def test_other_words_are_refused(text):
    with pytest.raises(DataError, match="no hysteresis"):
        Hysteresis.parse(text)
