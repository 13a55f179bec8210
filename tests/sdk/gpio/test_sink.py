"""What the line of a gate is driven to."""

from __future__ import annotations

import logging
import math
import re
import sys
import time
from dataclasses import replace
from datetime import timedelta
from types import ModuleType

import pytest

from edgead.errors import SinkError, SourceError
from edgead.frame import Frame
from edgead.sinks import open_sink
from edgead.sinks.gpio import FINISH_SECONDS, GpioSink
from edgead.streaming import Stream
from edgead.verdicts import Begin, End, PartRule, Rules, Ruling
from edgead.verdicts.parts import PartFault
from tests.sdk.gpio.lines import FRAME, SCORING, Brightest, Script, fault, verdict
from tests.stand_ins.gpio import Board, Line, LineSettings

SOON = 0.25  # seconds by which a busy machine may be late; no test passes because of them


def say(sink: GpioSink, word: str, age: float = 0.0) -> None:
    if word == "fault":
        sink.lost(fault(age))
    else:
        sink.write(verdict(word, age), FRAME)


def until(condition) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def line(board: Board) -> Line:
    return board.chips["gpiochip0"].lines[22]


def test_a_pulse_comes_after_its_delay_and_has_its_length(line):
    with open_sink("gpio://gpiochip0/22?pulse=40ms&delay=80ms") as sink:
        captured = time.monotonic() - 0.02
        say(sink, "reject", age=0.02)
        assert line.pulses == []
    ((begin, length),) = line.pulses
    assert 0 <= begin - (captured + 0.08) < SOON
    assert 0.04 - 0.003 <= length < 0.04 + SOON
    assert sink.late == 0


def test_pulses_that_overlap_are_one(line):
    with open_sink("gpio://gpiochip0/22?pulse=60ms") as sink:
        begin = time.monotonic()
        for _ in range(4):
            say(sink, "reject")
            time.sleep(0.01)
        last = time.monotonic() - 0.01
    ((at, length),) = line.pulses
    assert at >= begin
    assert at + length >= last + 0.06 - 0.005
    assert length < last - begin + 0.06 + SOON


def test_pulses_apart_are_two(line):
    with open_sink("gpio://gpiochip0/22?pulse=10ms") as sink:
        for number in (1, 2):
            say(sink, "reject")
            until(lambda number=number: len(line.driven) == 1 + 2 * number)
    assert len(line.pulses) == 2


@pytest.mark.parametrize(
    ("query", "moves"),
    [("", {"reject", "fault"}), ("on=reject", {"reject"}), ("on=accept", {"accept"}),
     ("on=warn,fault", {"warn", "fault"}), ("on=accept,warn,reject,fault", {"accept", "warn", "reject", "fault"})],
)  # fmt: skip
def test_which_verdicts_move_the_gate(board, query, moves):
    for offset, word in enumerate(("accept", "warn", "reject", "fault")):
        with open_sink(f"gpio://gpiochip0/{offset}?pulse=1ms&{query}".rstrip("&")) as sink:
            say(sink, word)
        assert len(board.chips["gpiochip0"].lines[offset].pulses) == (word in moves), word


def test_a_part_without_a_verdict_moves_the_gate(line):
    with open_sink("gpio://gpiochip0/22?pulse=1ms") as sink:
        sink.lost(PartFault(3, "cam", time.time(), "no frame of it was judged"))
    assert len(line.pulses) == 1


def in_parts(script: list[list], frames: list[str | None], address: str, *, period: float, rest: float) -> list[float]:
    """Frames of those verdicts, None for a lost one, `period` seconds apart, with what the trigger says before each.
    Returns when each was captured."""
    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, Told(script))
    captured = []
    with open_sink(address) as sink:
        for frame_id, word in enumerate(frames):
            captured.append(time.monotonic())
            outcomes = []
            if word is None:
                gone = fault()
                sink.lost(gone)
                outcomes = ruling.lost(gone)
            else:
                said = replace(verdict(word), frame_id=frame_id, pred_score=0.5 + 0.01 * frame_id)
                outcomes = ruling.apply(said, replace(FRAME, frame_id=frame_id, captured_at=said.captured_at))
            tell(sink, outcomes)
            time.sleep(max(0.0, captured[0] + (frame_id + 1) * period - time.monotonic()))
        tell(sink, ruling.finish())
        time.sleep(rest)
    assert sink.late == 0
    return captured


def tell(sink: GpioSink, outcomes: list) -> None:
    for outcome in outcomes:
        if isinstance(outcome, PartFault):
            sink.lost(outcome)
        else:
            sink.write(*outcome)


class Told:
    """A trigger that says what it was given, one list for each frame."""

    def __init__(self, script: list[list]) -> None:
        self.script = iter(script)

    def observe(self, frame: Frame | None) -> list:
        return next(self.script, [])

    def close(self) -> None:
        """Nothing to let go."""


@pytest.mark.parametrize("worst", [0, 3])
def test_the_delay_of_a_part_counts_from_where_it_began_whichever_frame_is_the_worst(line, worst):
    frames = ["reject" if number == worst else "accept" for number in range(4)]
    script = [[Begin()], [], [], [], [End()]]
    captured = in_parts(script, [*frames, "accept"], "gpio://gpiochip0/22?pulse=10ms&delay=700ms", period=0.1, rest=0.4)
    ((begin, _),) = line.pulses
    assert 0 <= begin - (captured[0] + 0.7) < SOON  # the worst frames are 0.3 s apart


def test_several_parts_between_camera_and_gate_have_each_its_pulse(line):
    """The verdicts of three parts are out before the first comes to the gate; the bad ones are hit, the good one is
    passed by."""
    parts = ["reject", "accept", "accept", "accept", "accept", "reject"]  # two frames of each
    script = [[Begin()], [], [Begin()], [], [Begin()], []]
    captured = in_parts(script, parts, "gpio://gpiochip0/22?pulse=20ms&delay=900ms", period=0.1, rest=0.9)
    for (begin, _), at in zip(line.pulses, (captured[0], captured[4]), strict=True):
        assert 0 <= begin - (at + 0.9) < SOON


def test_a_part_of_which_a_frame_was_lost_is_a_fault_at_its_own_moment(line):
    """Besides the lost frame's own pulse, which may come when that part has passed the gate."""
    script = [[Begin()], [], [], [], [End()]]
    frames = ["accept", "accept", "accept", None, "accept"]
    captured = in_parts(script, frames, "gpio://gpiochip0/22?pulse=10ms&delay=700ms", period=0.1, rest=0.8)
    for (begin, _), at in zip(line.pulses, (captured[0], captured[3]), strict=True):
        assert 0 <= begin - (at + 0.7) < SOON
    line.driven.clear()
    in_parts(script, frames, "gpio://gpiochip0/22?pulse=10ms&delay=700ms&on=reject", period=0.1, rest=0.4)
    assert line.pulses == []


def test_a_part_without_a_verdict_is_pulsed_at_its_own_moment(line):
    script = [[Begin()], [], [Begin()], [End()]]
    frames = [None, None, "accept", "accept"]
    address = "gpio://gpiochip0/22?pulse=10ms&delay=700ms"
    captured = in_parts(script, frames, address, period=0.1, rest=0.8)
    # The two lost frames, and the part that they were of, which began with the first of them
    for (begin, _), at in zip(line.pulses, captured[:2], strict=True):
        assert 0 <= begin - (at + 0.7) < SOON
    line.driven.clear()
    with open_sink(address) as sink:
        said = time.monotonic()
        sink.lost(PartFault(3, "cam", time.time() + 5, "no frame of it was judged", said - 0.5))
        until(lambda: line.pulses)
    assert 0 <= line.pulses[0][0] - (said + 0.2) < SOON


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_wall_clock_that_is_set_while_a_part_is_under_way_moves_no_pulse(line, monkeypatch, step):
    """It would be a verdict that comes an hour late, or one that waits for an hour."""
    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, Told([[Begin()], []]))
    with open_sink("gpio://gpiochip0/22?pulse=10ms&delay=400ms") as sink:
        begun, first = time.monotonic(), verdict("accept")
        assert ruling.apply(first, replace(FRAME, captured_at=first.captured_at)) == []
        wall = time.time
        monkeypatch.setattr(time, "time", lambda: wall() + step)
        bad = verdict("reject")
        assert ruling.apply(bad, replace(FRAME, captured_at=bad.captured_at)) == []
        tell(sink, ruling.finish())
        until(lambda: line.pulses)
        assert sink.late == 0
    assert 0 <= line.pulses[0][0] - (begun + 0.4) < SOON


def test_a_late_verdict_is_pulsed_at_once_counted_and_logged(line, caplog):
    with open_sink("gpio://gpiochip0/22?pulse=5ms&delay=100ms") as sink:
        for age in (0.5, 0.7, 0.0):
            say(sink, "reject", age=age)
            say(sink, "accept", age=age)
        until(lambda: line.pulses)
    assert sink.late == 2
    assert 2 <= len(line.pulses) <= 3  # the two late ones are one where no machine is busy for 5 ms between them
    first, last = (record.getMessage() for record in caplog.records)
    told = re.search(r"a verdict came (\d+) ms too late for the delay", first)
    assert told
    assert 400 <= int(told[1]) < 400 + 1e3 * SOON
    assert "2 verdicts came too late" in last


def test_without_a_delay_nothing_is_late(line):
    with open_sink("gpio://gpiochip0/22?pulse=5ms") as sink:
        say(sink, "reject", age=5)
    assert (sink.late, len(line.pulses)) == (0, 1)


def test_a_clock_that_was_set_back_delays_by_no_more_than_the_delay(line):
    with open_sink("gpio://gpiochip0/22?pulse=5ms&delay=20ms") as sink:
        said = time.monotonic()
        say(sink, "reject", age=-3600)
        until(lambda: line.pulses)
    assert 0.02 <= line.pulses[0][0] - said < 0.02 + SOON


def test_active_low(line):
    with open_sink("gpio://gpiochip0/22?pulse=5ms&active=low") as sink:
        assert line.high
        say(sink, "reject")
        until(lambda: len(line.driven) == 3)
    assert [high for _, high in line.driven] == [True, False, True]
    assert line.high


def test_hold_shows_the_last_verdict(line):
    with open_sink("gpio://gpiochip0/22?pulse=hold") as sink:
        for word, shown in (("accept", False), ("reject", True), ("fault", True), ("warn", False), ("reject", True)):
            say(sink, word)
            until(lambda shown=shown: line.high is shown)
    assert [high for _, high in line.driven] == [False, True, False, True, False]


def test_hold_with_a_delay_shows_verdicts_in_their_order(line):
    with open_sink("gpio://gpiochip0/22?pulse=hold&delay=150ms") as sink:
        captured = time.monotonic() - 0.1
        say(sink, "reject", age=0.1)
        say(sink, "accept")
        until(lambda: line.pulses)
    ((begin, length),) = line.pulses
    assert begin >= captured + 0.15
    assert 0.05 < length < 0.1 + SOON


def test_the_line_is_taken_inactive_and_given_back_inactive(line):
    sink = open_sink("gpio://gpiochip0/22")
    assert line.consumer is None
    with sink:
        assert line.consumer == "edgead"
        assert line.settings == LineSettings(direction=line.settings.direction, debounce_period=timedelta())
        assert (line.settings.direction.name, line.settings.output_value.name) == ("OUTPUT", "INACTIVE")
    sink.close()
    assert (line.consumer, line.high) == (None, False)


def test_the_end_gives_pulses_that_are_soon_and_drops_others(line, caplog):
    sink = open_sink("gpio://gpiochip0/22?pulse=5ms&delay=2s")
    sink.open()
    say(sink, "reject", age=1.9)
    say(sink, "reject", age=0.1)
    begin = time.monotonic()
    sink.close()
    assert time.monotonic() - begin < FINISH_SECONDS
    assert len(line.pulses) == 1
    assert "1 pulses that were to come later were not given" in caplog.text
    assert (line.consumer, line.high) == (None, False)


def test_the_sink_does_not_wait_for_a_slow_line(board, line):
    board.slow = 0.15
    with open_sink("gpio://gpiochip0/22?pulse=1ms") as sink:
        begin = time.monotonic()
        for _ in range(20):
            say(sink, "reject")
        assert time.monotonic() - begin < 0.1
    assert line.pulses


def test_a_line_that_fails_ends_the_run(board, line, caplog):
    def breaks(frame: int) -> None:
        board.broken = frame >= 2
        time.sleep(0.02)

    run = Stream(Brightest(breaks), Script([2] * 1000), sinks=["gpio://gpiochip0/22?pulse=1ms"])
    board_breaks = "the line cannot be set: No such device, gpio://gpiochip0/22, check the chip and its cable"
    with pytest.raises(SinkError, match=board_breaks), run:
        list(run)
    assert run.summary.judged < 1000
    assert line.consumer is None


def test_a_line_that_fails_is_found_without_another_verdict(board, line):
    sink = open_sink("gpio://gpiochip0/22?pulse=1ms")
    sink.open()
    sink.flush()
    board.broken = True
    say(sink, "reject")
    until(lambda: sink._pulses.failed)
    with pytest.raises(SinkError, match="the line cannot be set"):
        sink.flush()
    with pytest.raises(SinkError, match="the line could not be set"):
        sink.close()
    sink.close()
    assert line.consumer is None


def test_the_last_pulse_that_fails_is_told(board, line):
    sink = open_sink("gpio://gpiochip0/22?pulse=1ms&delay=100ms")
    sink.open()
    say(sink, "reject")
    board.broken = True
    with pytest.raises(SinkError, match="could not be set: No such device"):
        sink.close()


def test_a_pulse_that_failed_is_told_though_the_line_is_back(board, line):
    sink = open_sink("gpio://gpiochip0/22?pulse=1ms")
    sink.open()
    board.broken = True
    say(sink, "reject")
    until(lambda: sink._pulses.failed)
    board.broken = False
    with pytest.raises(SinkError, match="could not be set: No such device"):
        sink.close()
    assert (line.consumer, line.high) == (None, False)


def test_a_pulse_is_as_long_as_asked_for_on_a_slow_line(board, line):
    board.slow = 0.06
    with open_sink("gpio://gpiochip0/22?pulse=100ms") as sink:
        say(sink, "reject")
        until(lambda: line.high)
        board.slow = 0.0
    assert line.pulses[0][1] >= 0.1 - 0.003  # when it was set and when it is asked are two moments


def test_a_run_that_fails_leaves_the_gate_alone(line):
    run = Stream(
        Brightest(), Script([0, 2, SourceError("the camera is gone", "cam")]), sinks=["gpio://gpiochip0/22?pulse=30ms"]
    )
    with pytest.raises(SourceError, match="the camera is gone"), run:
        list(run)
    ((_, length),) = line.pulses
    assert length >= 0.03 - 0.003
    assert (line.consumer, line.high) == (None, False)


def test_a_path_has_lost_a_slash_and_the_scheme_may_be_large():
    from pathlib import Path

    assert open_sink(Path("gpio://gpiochip0/22?on=warn")).where == "gpio://gpiochip0/22"
    assert open_sink("GPIO://gpiochip0/PQ.05").where == "gpio://gpiochip0/PQ.05"


@pytest.mark.parametrize(
    ("query", "what"),
    [("on=", "on= is not known.*accept,warn,reject,fault"), ("on=reject,bad", "on=bad is not known"),
     ("pulse=0", "pulse=0 is no time from 1ms to 10s"), ("pulse=11s", "is no time from 1ms to 10s"),
     ("pulse=forever", "like pulse=200ms"), ("delay=-1s", "delay=-1s is no time from 0s to 600s"),
     ("active=up", r"active=up is not known.*high\|low"), ("edge=rising", "no option edge.*on, pulse, delay, active")],
)  # fmt: skip
def test_bad_options(query, what):
    with pytest.raises(SinkError, match=what):
        open_sink(f"gpio://gpiochip0/22?{query}")


def test_defaults():
    sink = open_sink("gpio://gpiochip0/22")
    assert (sink._on, sink._length, sink._delay, sink._active_low) == ({"reject", "fault"}, 0.2, 0.0, False)
    assert open_sink("gpio://gpiochip0/22?pulse=hold")._length == math.inf
    assert not sink.may_skip


def refused(address: str) -> str:
    """Why a line cannot be had, of which then nothing is taken."""
    with pytest.raises(SinkError) as error:
        open_sink(address).__enter__()
    assert all(line.consumer != "edgead" for chip in Board.present.chips.values() for line in chip.lines)
    return str(error.value)


def test_what_cannot_be_had(board, monkeypatch):
    assert refused("gpio://gpiochip0/PQ.06a") == (
        "the chip has no such line, gpio://gpiochip0/PQ.06a, give 0 to 31, or a name like PQ.06, PQ.05"
    )
    assert "give 0 to 31, or a name" in refused("gpio://gpiochip0/32")
    board.chips["gpiochip0"].lines[5].consumer = "board"
    assert refused("gpio://gpiochip0/5").startswith("the line is in use by board, gpio://gpiochip0/5, stop that")
    assert refused("gpio://gpiochip1/5") == (
        "there is no such GPIO chip, gpio://gpiochip1/5, give one of gpiochip0 (tegra234-gpio)"
    )
    board.add("gpiochip1", "usb-adapter")
    board.add("gpiochip2", "usb-adapter")
    assert "name one: gpiochip0 (tegra234-gpio), gpiochip1 (usb-adapter)" in refused("gpio://usb-adapter/5")
    assert "its lines have no names" in refused("gpio://gpiochip1/A")
    board.refuses = True
    assert refused("gpio://gpiochip0/6").startswith("the chip does not give this line: Invalid argument")
    board.forbidden.add(str(board.folder / "gpiochip0"))
    assert "there is no permission for" in refused("gpio://gpiochip0/6")
    assert "there is no permission for" in refused("gpio://tegra234-gpio/6")
    board.chips.clear()
    assert refused("gpio://gpiochip0/6").startswith("there is no GPIO chip, gpio://gpiochip0/6, give this machine")


def test_permission_names_the_group(board, monkeypatch):
    from edgead.gpio import claim

    board.forbidden.add(str(board.folder / "gpiochip0"))
    monkeypatch.setattr(claim.grp, "getgrgid", lambda gid: type("Group", (), {"gr_name": "gpio"}))
    assert "sudo usermod -aG gpio USER" in refused("gpio://gpiochip0/6")
    monkeypatch.setattr(claim.grp, "getgrgid", lambda gid: type("Group", (), {"gr_name": "root"}))
    assert "udev rule" in refused("gpio://gpiochip0/6")


def test_without_gpiod_or_with_its_first_version(board, monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiod", ModuleType("gpiod"))
    assert refused("gpio://gpiochip0/6") == (
        'the package gpiod that is installed is of libgpiod 1, gpio://gpiochip0/6, pip install "edgead[gpio]"'
    )
    monkeypatch.setitem(sys.modules, "gpiod", None)
    assert refused("gpio://gpiochip0/6") == (
        'GPIO needs the package gpiod, gpio://gpiochip0/6, pip install "edgead[gpio]"'
    )


def test_chip_by_label_and_line_by_name(board):
    with open_sink("gpio://tegra234-gpio/PQ.05?pulse=1ms") as sink:
        say(sink, "reject")
    assert len(board.chips["gpiochip0"].lines[3].pulses) == 1


def test_a_chip_that_has_two_names(board):
    (board.folder / "gpiochip4").symlink_to(board.folder / "gpiochip0")
    with open_sink("gpio://tegra234-gpio/3"):
        assert board.chips["gpiochip0"].lines[3].consumer == "edgead"


@pytest.fixture(autouse=True)
def _told(caplog):
    caplog.set_level(logging.WARNING)
