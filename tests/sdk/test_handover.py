from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.frame import Signal
from edgead.handover import Handover


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    return thread, results


def drain(queue: Handover[int]) -> list[int]:
    items: list[int] = []
    while isinstance(item := queue.take(0), int):
        items.append(item)
    return items


@given(st.lists(st.booleans(), max_size=20))
def test_only_waiting_replaceable_items_are_replaced(replaceable: list[bool]) -> None:
    queue: Handover[int] = Handover(100)
    for number, replaces in enumerate(replaceable):
        assert queue.put(number, replaces=replaces)
    newest = max((number for number, replaces in enumerate(replaceable) if replaces), default=-1)
    expected = [number for number, replaces in enumerate(replaceable) if not replaces or number == newest]
    assert drain(queue) == expected
    assert queue.dropped == len(replaceable) - len(expected)


def test_a_full_queue_holds_the_giver_until_there_is_room() -> None:
    queue: Handover[int] = Handover(2)
    thread, results = in_thread(lambda: [queue.put(number) for number in range(3)])
    thread.join(0.1)
    assert thread.is_alive()
    assert queue.take(0) == 0
    thread.join(2)
    assert results == [[True, True, True]]
    assert drain(queue) == [1, 2]


def test_replacing_makes_its_own_room() -> None:
    queue: Handover[int] = Handover(1)
    assert queue.put(1, replaces=True)
    assert queue.put(2, replaces=True)  # would wait for ever otherwise
    assert drain(queue) == [2]


@pytest.mark.parametrize("replaces", [True, False])
def test_closing_frees_a_waiting_giver(replaces: bool) -> None:
    queue: Handover[int] = Handover(1)
    queue.put(1)
    thread, results = in_thread(lambda: queue.put(2, replaces=replaces))
    time.sleep(0.05)
    queue.close()
    thread.join(2)
    assert results == [False]
    assert queue.put(3) is False
    assert queue.take(0) is Signal.END


def test_ending_frees_a_waiting_taker() -> None:
    queue: Handover[int] = Handover(1)
    thread, results = in_thread(lambda: queue.take(30))
    time.sleep(0.05)
    queue.end()
    thread.join(2)
    assert results == [Signal.END]


def test_what_was_put_before_the_end_is_still_taken_and_the_error_comes_last() -> None:
    queue: Handover[int] = Handover(3)
    queue.put(1)
    queue.put(2)
    queue.end(ValueError("camera"))
    assert queue.take(0) == 1
    assert queue.take(0) == 2
    for _ in range(2):
        with pytest.raises(ValueError, match="camera"):
            queue.take(0)


def test_a_taker_who_closed_hears_no_error() -> None:
    queue: Handover[int] = Handover(3)
    queue.put(1)
    queue.end(ValueError("camera"))
    queue.close()
    assert queue.take(0) is Signal.END


def test_a_timeout_takes_its_time_and_no_more() -> None:
    queue: Handover[int] = Handover(1)
    began = time.monotonic()
    assert queue.take(0.1) is Signal.TIMEOUT
    assert 0.09 < time.monotonic() - began < 5  # on a machine that is busy with something else


def test_many_items_between_two_threads_arrive_in_order() -> None:
    queue: Handover[int] = Handover(3)
    thread, _ = in_thread(lambda: [queue.put(number) for number in range(5000)] and queue.end())
    taken = []
    while isinstance(item := queue.take(2), int):
        taken.append(item)
    thread.join()
    assert taken == list(range(5000))


def test_lanes_replace_and_hold_up_nothing_of_each_other() -> None:
    queue: Handover[str] = Handover(1)
    for item in ("a1", "b1", "a2", "c1", "a3"):
        assert queue.put(item, replaces=True, lane=item[0])
    assert queue.dropped == 2
    _, results = in_thread(lambda: queue.put("b2", lane="b"))
    time.sleep(0.05)
    assert results == []  # its own lane is full
    assert queue.take_some(0, 2) == ["a3", "b1"]
    assert queue.take(1) == "c1"
    assert queue.take(1) == "b2"


def test_some_are_what_waits_and_no_more_than_asked_for() -> None:
    queue: Handover[int] = Handover(10)
    for number in range(5):
        queue.put(number)
    assert queue.take_some(0, 3) == [0, 1, 2]
    assert queue.take_some(0, 3) == [3, 4]
    assert queue.take_some(0.01, 3) is Signal.TIMEOUT
    queue.put(5)
    queue.end(ValueError("over"))
    assert queue.take_some(0, 3) == [5]
    with pytest.raises(ValueError, match="over"):
        queue.take_some(0, 3)


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 4))
def test_of_each_lane_the_newest_waits_and_the_longest_waiting_comes_first(arrivals: list[str], limit: int) -> None:
    queue: Handover[tuple[str, int]] = Handover(1)
    for number, lane in enumerate(arrivals):
        queue.put((lane, number), replaces=True, lane=lane)
    newest = {lane: number for number, lane in enumerate(arrivals)}
    expected = [(lane, newest[lane]) for lane in dict.fromkeys(arrivals)]  # in the order of their first arrival
    taken: list[tuple[str, int]] = []
    while isinstance(some := queue.take_some(0, limit), list):
        assert len(some) <= limit
        taken += some
    assert taken == expected


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "take"]), max_size=120))
def test_no_lane_is_passed_over_for_another(steps: list[str]) -> None:
    """However often others come in between: a lane that waits has its turn within as many takes as there are lanes."""
    queue: Handover[str] = Handover(1)
    passed: dict[str, int] = {}
    for step in steps:
        if step != "take":
            queue.put(step, replaces=True, lane=step)
            passed.setdefault(step, 0)
        elif (taken := queue.take(0)) is not Signal.TIMEOUT:
            del passed[str(taken)]
            passed = {lane: times + 1 for lane, times in passed.items()}
            assert all(times < 4 for times in passed.values())


def _give(queue: Handover[tuple[str, int]], lane: str, waits: list[bool], replaces: bool) -> None:
    for number, wait in enumerate(waits):
        time.sleep(1e-5 if wait else 0)
        assert queue.put((lane, number), replaces=replaces and number % 5 > 0, lane=lane)


def _end_after(queue: Handover[tuple[str, int]], givers: list[threading.Thread]) -> None:
    for giver in givers:
        giver.join()
    queue.end()


@pytest.mark.parametrize("policy", ["latest", "every"])
def test_nothing_is_lost_or_stuck_however_threads_are_scheduled(policy: str) -> None:
    """Three givers and a taker that are switched at every step: of each lane all, or a rising choice with the last."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for seed in range(30):
            chance = random.Random(seed)
            queue: Handover[tuple[str, int]] = Handover(chance.randint(1, 3))
            waits = [chance.random() < 0.2 for _ in range(100)]
            givers = [in_thread(partial(_give, queue, lane, waits, policy == "latest"))[0] for lane in "abc"]
            ending, _ = in_thread(partial(_end_after, queue, givers))
            taken: list[tuple[str, int]] = []
            while (some := queue.take_some(20, chance.randint(1, 4))) is not Signal.END:
                assert isinstance(some, list)  # no time-out: a wake-up was lost
                taken += some
            ending.join(20)
            assert not ending.is_alive()
            assert len(taken) + queue.dropped == 300
            for lane in "abc":
                numbers = [number for name, number in taken if name == lane]
                assert numbers == sorted(set(numbers)) and numbers[-1] == 99
                assert {number for number in range(100) if number % 5 == 0} <= set(numbers)
                assert policy == "latest" or len(numbers) == 100
    finally:
        sys.setswitchinterval(before)


def _fill(queue: Handover[int]) -> None:
    while queue.put(0):
        pass


@pytest.mark.parametrize("how", ["close", "end"])
def test_whoever_waits_is_freed_at_whatever_moment_the_other_goes(how: str) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for seed in range(100):
            queue: Handover[int] = Handover(1)
            gives = how == "close"
            waiter, _ = in_thread(partial(_fill, queue) if gives else partial(queue.take, 60))
            time.sleep(random.Random(seed).random() * 1e-4)
            queue.close() if gives else queue.end()
            waiter.join(20)
            assert not waiter.is_alive()
    finally:
        sys.setswitchinterval(before)
