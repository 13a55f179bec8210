"""When a line is active, against sets of moments."""

import math

from hypothesis import given
from hypothesis import strategies as st

from edgead.gpio.schedule import Schedule

END = 80
PULSES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 12)), max_size=12)
"""When it is told, how much later it begins, how long it is."""


@given(PULSES)
def test_overlapping_pulses_are_the_union_of_their_intervals(pulses):
    covered = {moment for told, wait, length in pulses for moment in range(told + wait, told + wait + length)}
    schedule, before, promised = Schedule(), False, math.inf
    for now in range(END):
        new = [pulse for pulse in pulses if pulse[0] == now]
        for told, wait, length in new:
            schedule.put(told + wait, length)
        level = schedule.level(now)
        assert level == (now in covered)
        assert level is before or new or now == promised
        before, promised = level, schedule.next
        assert promised > now
    assert schedule.next == math.inf


@given(PULSES, st.sets(st.integers(0, END)))
def test_a_thread_that_comes_late_gives_whole_pulses(pulses, awake):
    schedule = Schedule()
    for told, wait, length in pulses:
        schedule.put(told + wait, length)
    levels = {now: schedule.level(now) for now in sorted(awake)}
    for told, wait, length in pulses:
        begins = [now for now in levels if now >= told + wait]
        assert all(levels[now] for now in begins if now < min(begins) + length)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=12))
def test_a_held_line_shows_the_last_that_was_said(said):
    schedule = Schedule()
    for moment, active in said:
        schedule.put(moment, math.inf if active else 0)
    for now in range(40):
        earlier = [(moment, number, active) for number, (moment, active) in enumerate(said) if moment <= now]
        assert schedule.level(now) == (bool(earlier) and max(earlier)[2])


@given(PULSES, st.integers(0, END))
def test_the_end_drops_what_begins_later(pulses, latest):
    schedule = Schedule()
    for told, wait, length in pulses:
        schedule.put(told + wait, length)
    kept = [(told + wait, length) for told, wait, length in pulses if told + wait <= latest]
    assert schedule.end(latest) == len(pulses) - len(kept)
    covered = {moment for begin, length in kept for moment in range(begin, begin + length)}
    assert [now for now in range(END) if schedule.level(now)] == sorted(covered)


def test_the_end_lets_go_what_is_held():
    schedule = Schedule()
    schedule.put(0, math.inf)
    assert schedule.level(1)
    schedule.put(5, math.inf)
    assert schedule.end(10) == 1
    assert not schedule.level(20)
    assert schedule.next == math.inf
