"""Parts that a light barrier begins."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from edgead.errors import DataError, SourceError
from edgead.frame import Frame, Reading, Signal
from edgead.gpio.trigger import BUFFER, GpioTrigger
from edgead.result import Result, Verdict
from edgead.streaming import Stream
from edgead.verdicts import Begin, End, PartRule, Rules, Ruling
from edgead.verdicts.trigger import Refused
from tests.sdk.gpio.lines import FRAME, SCORING, Brightest, Script, verdict
from tests.stand_ins.gpio import Bias, Direction, Edge, Line


@pytest.fixture
def line(board) -> Line:
    return board.chips["gpiochip0"].lines[17]


def pulse(line: Line, times: int = 1) -> None:
    for _ in range(times):
        line.pull(True)
        line.pull(False)


def judged(line: Line, query: str, script: list[object], moves: dict[int, bool]) -> tuple[list, list, Stream]:
    """The parts of a run in which the line is moved before some frames are captured, and what was told as a fault.
    Frames are judged late, some of them after the part has gone."""
    faults: list[str] = []
    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at(f"gpio://gpiochip0/17?{query}"))

    def move(frame: int) -> None:
        if frame in moves:
            line.pull(moves[frame])
            time.sleep(0.002)  # two clocks are compared

    run = Stream(
        Brightest(lambda frame: time.sleep(0.01)),
        Script(script, move),
        rules=ruling,
        on_fault=lambda lost: faults.append(lost.reason),
    )
    with run:
        parts = [(r.part.name, r.verdict.value, r.part.first_frame, r.part.last_frame, r.part.lost) for r in run]
    ruling.close()
    return parts, faults, run


def test_edges_make_parts_of_frames(line):
    parts, faults, _ = judged(
        line, "edge=rising", [2, 0, 0, 2, 0, 1, None, 0], {1: True, 2: False, 3: True, 4: False, 5: True}
    )
    assert parts == [("1", "accept", 1, 2, 0), ("2", "reject", 3, 4, 0), ("3", "warn", 5, 7, 1)]
    assert faults == ["torn cable"]


def test_both_edges_leave_out_what_is_between_parts(line):
    parts, faults, _ = judged(
        line, "edge=both&active=low", [2, 0, 1, 2, 2, 0, 0, 0], {0: True, 1: False, 3: True, 5: False, 7: True}
    )
    assert parts == [("1", "warn", 1, 2, 0), ("2", "accept", 5, 6, 0)]
    assert faults == []


def shot(score: float, frame_id: int) -> tuple[Result, Frame]:
    """A frame that is captured now, and what is said of it."""
    result = replace(verdict(SCORING.bands.verdict(score).value), raw_score=score, frame_id=frame_id)
    return result, replace(FRAME, frame_id=frame_id, captured_at=result.captured_at)


def test_a_slow_detector_gives_each_part_its_own_frames(line):
    """A barrier that is free again, and broken by the next part, long before what was captured in it is judged."""
    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at("gpio://gpiochip0/17?edge=both"))
    frames, edges = [], []
    for number, score in enumerate((2.0, 0.0, 1.0)):
        edges.append(time.monotonic())
        line.pull(True)
        time.sleep(0.005)
        frames.append(shot(score, 2 * number))
        time.sleep(0.005)
        line.pull(False)
        time.sleep(0.005)
        frames.append(shot(2.0, 2 * number + 1))  # of the empty line
        time.sleep(0.005)
    outcomes = [outcome for frame in frames for outcome in ruling.apply(*frame)] + ruling.finish()
    assert [(said.verdict.value, said.part.first_frame, said.part.frames) for said, _ in outcomes] == [
        ("reject", 0, 1), ("accept", 2, 1), ("warn", 4, 1),
    ]  # fmt: skip
    assert [said.part.begun for said, _ in outcomes] == pytest.approx(edges, abs=0.004)


def test_an_edge_is_when_the_level_came_and_not_when_it_had_lasted(line):
    """The kernel tells of an edge, and of its time, once the level has lasted for the debouncing: a camera that the
    same barrier triggers has its picture before."""
    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at("gpio://gpiochip0/17?debounce=30ms"))
    came, wall = time.monotonic() - 5, time.time() - 5
    for number, score in enumerate((0.0, 2.0)):
        pulse(line)
        line.events[-1].timestamp_ns = round((came + number + 0.03) * 1e9)
        said, frame = shot(score, number)
        outcomes = ruling.apply(said, replace(frame, captured_at=wall + number + 0.005))
    assert [(said.verdict.value, said.part.frames) for said, _ in outcomes] == [("accept", 1)]
    ((said, _),) = ruling.finish()
    assert said.verdict is Verdict.REJECT and said.part.begun == pytest.approx(came + 1, abs=1e-6)


def test_a_barrier_that_chatters_makes_faults_and_no_accept(line):
    """Without debouncing each bounce begins a part; that none of them has a frame is told."""
    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at("gpio://gpiochip0/17"))
    pulse(line, 4)
    time.sleep(0.002)
    faults = ruling.apply(*shot(2.0, 0))
    assert [fault.reason for fault in faults] == [
        f"part {name} has no verdict: no frame of it was judged" for name in (1, 2, 3)
    ]
    ((said, _),) = ruling.finish()
    assert (said.part.name, said.verdict) == ("4", Verdict.REJECT)


def test_a_part_without_a_frame_is_a_fault(line):
    parts, faults, _ = judged(line, "edge=rising", [0, 0], {})
    assert (parts, faults) == ([], [])
    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at("gpio://gpiochip0/17"))
    pulse(line, 3)
    with Stream(Brightest(), Script([0, 0]), rules=ruling, on_fault=lambda lost: faults.append(lost.reason)) as run:
        assert [result.part.name for result in run] == ["3"]
    assert faults == [f"part {name} has no verdict: no frame of it was judged" for name in (1, 2)]


@pytest.mark.parametrize(
    ("query", "events"),
    [("", [Begin()] * 2), ("?edge=falling", [Begin()]), ("?edge=both", [Begin(), End(), Begin()]),
     ("?active=low", [Begin()]), ("?edge=falling&active=low", [Begin()] * 2),
     ("?edge=both&active=low", [End(), Begin(), End()])],
)  # fmt: skip
def test_edges(line, query, events):
    trigger = GpioTrigger.at(f"gpio://gpiochip0/17{query}")
    assert trigger.observe(None) == []
    for high in (True, False, True):
        line.pull(high)
    assert trigger.observe(None) == events
    assert trigger.observe(None) == []


def test_what_the_kernel_is_asked_for(line):
    trigger = GpioTrigger.at("gpio://tegra234-gpio/17?edge=both&debounce=5ms&bias=pull-up&active=low")
    settings = line.settings
    assert (settings.direction, settings.edge_detection, settings.bias) == (Direction.INPUT, Edge.BOTH, Bias.PULL_UP)
    assert (settings.active_low, settings.debounce_period) == (True, timedelta(milliseconds=5))
    assert (line.consumer, line.events.maxlen) == ("edgead", BUFFER)
    trigger.close()
    GpioTrigger.at("gpio://gpiochip0/17")
    settings = line.settings
    assert (settings.edge_detection, settings.bias) == (Edge.RISING, Bias.AS_IS)
    assert (settings.active_low, settings.debounce_period) == (False, timedelta(0))


@pytest.mark.parametrize(("name", "bias"), [("as-is", Bias.AS_IS), ("disabled", Bias.DISABLED),
                                            ("pull-down", Bias.PULL_DOWN), ("pull-up", Bias.PULL_UP)])  # fmt: skip
def test_every_bias(line, name, bias):
    GpioTrigger.at(f"gpio://gpiochip0/17?bias={name}")
    assert line.settings.bias is bias


def test_edges_that_the_kernel_lost_are_a_fault(line):
    trigger = GpioTrigger.at("gpio://gpiochip0/17")
    pulse(line, 7)
    assert trigger.observe(None) == [Begin()] * 7
    pulse(line, BUFFER + 20)
    first, *others = trigger.observe(None)
    assert first == Refused("20 edges came too fast and were lost: parts may have been missed")
    assert others == [Begin()] * BUFFER
    pulse(line)
    assert trigger.observe(None) == [Begin()]


def test_a_loss_at_the_begin_is_seen(line):
    trigger = GpioTrigger.at("gpio://gpiochip0/17")
    pulse(line, BUFFER + 1)
    assert trigger.observe(None)[0] == Refused("1 edges came too fast and were lost: parts may have been missed")


def test_the_kernel_may_count_beyond_32_bits(line):
    trigger = GpioTrigger.at("gpio://gpiochip0/17")
    trigger._next = line.count = 2**32 - 2
    line.count -= 1
    pulse(line, 4)
    for event, number in zip(line.events, (2**32 - 2, 2**32 - 1, 0, 1), strict=True):
        event.line_seqno = number
    assert trigger.observe(None) == [Begin()] * 4


def test_a_line_that_fails_ends_the_run(board, line):
    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at("gpio://gpiochip0/17"))
    run = Stream(Brightest(lambda frame: setattr(board, "broken", frame == 1)), Script([0] * 5), rules=ruling)
    with pytest.raises(SourceError, match="the trigger's line has failed: No such device, gpio://gpiochip0/17"), run:
        list(run)


def test_closing_gives_the_line_back(line):
    trigger = GpioTrigger.at("gpio://gpiochip0/17")
    trigger.close()
    trigger.close()
    assert line.consumer is None
    assert trigger.observe(None) == []
    GpioTrigger.at("gpio://gpiochip0/17").close()


@pytest.mark.parametrize(
    ("address", "what"),
    [("gpio://gpiochip0", "no address of a GPIO line"),
     ("gpio://gpiochip0/17?edge=up", r"give edge=rising\|falling\|both"),
     ("gpio://gpiochip0/17?debounce=5", "give it with its unit, like debounce=200ms"),
     ("gpio://gpiochip0/17?debounce=11s", "no time from 0s to 10s"), ("gpio://gpiochip0/17?bias=up", "pull-up"),
     ("gpio://gpiochip0/17?active=1", r"active=high\|low"),
     ("gpio://gpiochip0/17?on=reject", "edge, debounce, bias, active")],
)  # fmt: skip
def test_bad_addresses(line, address, what):
    with pytest.raises(DataError, match=what):
        GpioTrigger.at(address)
    assert line.consumer is None


def test_a_line_that_a_gate_has_is_not_a_barrier(line):
    from edgead.sinks import open_sink

    with open_sink("gpio://gpiochip0/17"), pytest.raises(SourceError, match="in use by edgead"):
        GpioTrigger.at("gpio://gpiochip0/17")


def test_rules_open_the_trigger_behind_an_address_and_close_it(line):
    rules = Rules.from_mapping({"parts": {"trigger": "gpio://gpiochip0/17?edge=falling"}})
    ruling = Ruling(rules, SCORING)
    assert (line.consumer, line.settings.edge_detection) == ("edgead", Edge.FALLING)
    ruling.close()
    assert line.consumer is None


def test_parts_that_pass_while_the_camera_gives_nothing_are_told_before_the_next_frame(line):
    """And the verdict of a camera that each part triggers does not wait for the next part."""
    start, told = time.monotonic(), []
    steps = [(0.1, True), (0.15, 2), (0.2, False), (1.2, True), (1.3, False), (2.4, True), (2.5, False)]

    class Triggered(Script):
        live = True

        def read(self, timeout: float) -> Reading:
            until = time.monotonic() + timeout
            while time.monotonic() < until:
                if not steps:
                    over = len(told) == 2 or time.monotonic() > start + 9
                    return Signal.END if over else Signal.TIMEOUT
                if time.monotonic() >= start + steps[0][0]:
                    what = steps.pop(0)[1]
                    if not isinstance(what, bool):
                        return self._frame(np.full((8, 8, 3), what, np.uint8))
                    line.pull(what)
                time.sleep(0.005)
            return Signal.TIMEOUT

    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at("gpio://gpiochip0/17?edge=both"))
    with Stream(Brightest(), Triggered([]), rules=ruling, on_fault=lambda lost: told.append(time.monotonic())) as run:
        (at,) = [time.monotonic() for result in run if result.verdict is Verdict.REJECT]
    assert len(told) == 2
    assert start + 0.7 <= at < told[0] < told[1] < start + 9
