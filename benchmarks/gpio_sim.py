"""The GPIO sink and trigger on lines of a real kernel: what the chip saw. `gpio_sim.sh` runs it in a virtual machine.

    python benchmarks/gpio_sim.py --output gpio_sim.json

gpio-sim is the kernel's own simulated chip: its driver gives everything a chip has, and files by which a test reads
what a line is driven to and pulls one up and down. Needs root, configfs and that module loaded. Exit code 1 where
anything is not as the documentation says.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gpiod
import measuring
import numpy as np

from edgead.bands import Bands
from edgead.errors import EdgeadError, SinkError, SourceError
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.frame import Frame, LostFrame, Reading, Signal
from edgead.gpio.trigger import BUFFER, GpioTrigger
from edgead.result import Result, Verdict
from edgead.sinks import open_sink
from edgead.sources import Source
from edgead.streaming import Stream
from edgead.verdicts import Begin, End, PartRule, Rules, Ruling, Scoring
from edgead.verdicts.trigger import Refused

CONFIG = Path("/sys/kernel/config/gpio-sim/edgead")
TRACE = Path("/sys/kernel/tracing")
SLACK = 0.02  # seconds that a pulse may be late
SCORING = Scoring(
    Bands(Thresholds(*(Threshold(value, "quantile", {}) for value in (2.0, 1.0, 1.5))), (0.0, 3.0)), "max"
)

Interval = tuple[float, float]


class Chip:
    """A simulated chip of 32 lines; line 3 is called PQ.05, line 5 belongs to the kernel."""

    def __init__(self) -> None:
        for folder in ("bank0/line3", "bank0/line5/hog"):
            (CONFIG / folder).mkdir(parents=True)
        bank = CONFIG / "bank0"
        for name, value in (
            ("num_lines", "32"),
            ("label", "edgead-sim"),
            ("line3/name", "PQ.05"),
            ("line5/hog/name", "board"),
            ("line5/hog/direction", "output-low"),
        ):
            (bank / name).write_text(value)
        (CONFIG / "live").write_text("1")
        self.name = (bank / "chip_name").read_text().strip()
        (TRACE / "trace_clock").write_text("mono")  # as time.monotonic
        (TRACE / "events/gpio/gpio_value/enable").write_text("1")
        with open_sink(f"gpio://{self.name}/0"):
            self.base = next(traced())[1]
        self.lines = Path("/sys/devices/platform") / (CONFIG / "dev_name").read_text().strip() / self.name

    def pull(self, line: int, up: bool) -> None:
        """What the world does to a line."""
        (self.lines / f"sim_gpio{line}/pull").write_text("pull-up" if up else "pull-down")

    def level(self, line: int) -> bool:
        """The voltage at a line."""
        return (self.lines / f"sim_gpio{line}/value").read_text().strip() == "1"

    def remove(self) -> None:
        """Pull the chip's plug."""
        (CONFIG / "live").write_text("0")

    @contextmanager
    def watched(self, line: int) -> Iterator[list[Interval]]:
        """When the voltage was high, in time.monotonic, known at the end: from the kernel's own trace."""
        (TRACE / "trace").write_text("")
        intervals: list[Interval] = []
        try:
            yield intervals
        finally:
            begin, was = 0.0, False
            for moment, number, high in traced():
                if number == self.base + line and high is not was:
                    if was:
                        intervals.append((begin, moment))
                    begin, was = moment, high
            intervals += [(begin, math.inf)] if was else []


def traced() -> Iterator[tuple[float, int, bool]]:
    """What the kernel has set: when, which line of the whole machine, and to which voltage."""
    for line in (TRACE / "trace").read_text().splitlines():
        if found := re.search(r" (\d+\.\d+): gpio_value: (\d+) set (\d)", line):
            yield float(found[1]), int(found[2]), found[3] == "1"


class Script(Source):
    """A camera that plays a list, a picture each `period`: its brightest pixel, None for a lost frame, or an error."""

    live = True

    def __init__(
        self, script: Sequence[object], period: float, meanwhile: Callable[[int], None] = lambda _: None
    ) -> None:
        super().__init__("script")
        self._script, self._period, self._meanwhile = iter(script), period, meanwhile
        self.captured: list[float] = []  # time.monotonic

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout: float) -> Reading:
        time.sleep(self._period)
        step = next(self._script, Signal.END)
        if isinstance(step, BaseException):
            raise step
        if step is Signal.END:
            return Signal.END
        self._meanwhile(len(self.captured))
        self.captured.append(time.monotonic())
        return self._lost("torn cable") if step is None else self._frame(np.full((8, 8, 3), step, np.uint8))

    def close(self) -> None:
        """Nothing to close."""


class Brightest:
    """0 is accepted, 1 a warning, 2 rejected."""

    max_batch = 1

    def prepare(self, image: Any) -> Any:
        return image[..., 0].astype(np.float32)

    def infer(self, prepared: Any) -> Any:
        return prepared

    def infer_some(self, prepared: Sequence[Any]) -> Sequence[Any]:
        return prepared

    def judge(self, answer: Any, frame: Frame, timing: dict[str, float]) -> Result:
        score = float(answer.max())
        verdict = SCORING.bands.verdict(score)
        return Result(score / 3, verdict is Verdict.REJECT, answer, answer >= 1.5, score, verdict, (), frame.frame_id,
                      frame.source, frame.captured_at, timing, "digest")  # fmt: skip


def union(intervals: Sequence[Interval]) -> list[Interval]:
    """Intervals, joined where they meet."""
    joined: list[Interval] = []
    for begin, end in sorted(intervals):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def run(script: Sequence[object], *sinks: str, period: float = 0.05, **options: Any) -> tuple[Source, Stream, str]:
    """A whole run. The error that ended it is its last answer."""
    source = Script(script, period, options.pop("meanwhile", lambda _: None))
    stream = Stream(Brightest(), source, policy="every", sinks=sinks, **options)
    try:
        with stream:
            stream.results = list(stream)  # type: ignore[attr-defined]
    except EdgeadError as error:
        return source, stream, f"{type(error).__name__}: {error}"
    return source, stream, ""


def refused(make: Callable[[], object]) -> str:
    try:
        made = make()
    except EdgeadError as error:
        return str(error)
    made.close()  # type: ignore[attr-defined]
    return ""


class Report:
    """What was seen, and whether it is what should be."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.wrong: list[str] = []

    def say(self, name: str, right: bool, **seen: Any) -> None:
        self.figures[name] = {"as it should be": right, **seen}
        print("ok   " if right else "WRONG", name, seen, flush=True)
        self.wrong += [] if right else [name]

    def pulses(self, name: str, seen: list[Interval], wanted: list[Interval], **more: Any) -> None:
        """Pulses beside those that should be: none begins or ends early, and none late."""
        pairs = list(zip(seen, wanted, strict=False))
        late = [1e3 * (got[0] - want[0]) for got, want in pairs]
        longer = [1e3 * (got[1] - got[0] - want[1] + want[0]) for got, want in pairs]
        right = len(seen) == len(wanted) and all(
            0 <= got - want < SLACK for pair in pairs for got, want in zip(*pair, strict=True)
        )
        figures = {"pulses": len(seen), "of": len(wanted)}
        if late:
            figures |= {"begin_late_ms": spread(late), "longer_ms": spread(longer)}
        self.say(name, right, **figures, **more)


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "least": round(min(values), 1), "median": round(statistics.median(values), 1), "most": round(max(values), 1)
    }  # fmt: skip


def gates(chip: Chip, report: Report) -> None:
    """The sink."""
    run([0, 2], f"gpio://{chip.name}/1?pulse=10ms")  # what is loaded the first time takes its time
    script = [0, 2, 0, 0, 0, 0, None, 0, 0, 0, 1, 0, 0, 0, 2, 2, 0, 0, 2, 0, 0] * 3
    with chip.watched(22) as seen:
        source, _, error = run(script, f"gpio://{chip.name}/22?pulse=80ms&delay=300ms")
    at = [moment for moment, step in zip(source.captured, script, strict=True) if step in (2, None)]
    wanted = union([(moment + 0.3, moment + 0.38) for moment in at])
    report.pulses("reject and fault, 80 ms pulses 300 ms after the capture", seen, wanted, error=error)

    with chip.watched(3) as seen:
        source, _, error = run([0, 1, 0, 0, 0, 0] * 5, "gpio://edgead-sim/PQ.05?on=warn&pulse=50ms")
    at = [moment for moment, step in zip(source.captured, [0, 1, 0, 0, 0, 0] * 5, strict=True) if step == 1]
    report.pulses("a warning's pulse at once; chip by label, line by name", seen, [(t, t + 0.05) for t in at])

    chip.pull(7, True)
    with chip.watched(7) as seen:
        source, _, error = run([0, 0, 2, 0, 0, 0, 0, 0], f"gpio://{chip.name}/7?active=low&pulse=100ms")
    lows = [(first[1], second[0]) for first, second in itertools.pairwise(seen)]
    report.pulses("active low", lows, [(source.captured[2], source.captured[2] + 0.1)], high_between=len(seen) == 2)

    with chip.watched(8) as seen:
        source, _, error = run([0, 2, 2, None, 0, 0, 2, 0], f"gpio://{chip.name}/8?pulse=hold")
    c = source.captured
    report.pulses("hold", seen, [(c[1], c[4]), (c[6], c[7])])

    with chip.watched(9) as seen:
        source, _, error = run([0, 2, SourceError("gone", "cam", "")], f"gpio://{chip.name}/9?delay=500ms&pulse=60ms")
    begin = source.captured[1] + 0.5
    report.pulses("a run that fails still gives the pulse that is due", seen, [(begin, begin + 0.06)], error=error,
                  low_after=not chip.level(9))  # fmt: skip

    sink = open_sink(f"gpio://{chip.name}/10?delay=1ms&pulse=20ms")
    with chip.watched(10) as seen, sink:
        sink.lost(LostFrame(0, "cam", time.time() - 0.5, "torn"))
        time.sleep(0.2)
    report.say("a verdict after its time is pulsed at once", len(seen) == 1 and sink.late == 1, late=sink.late)

    messages = {
        "in use by the kernel": refused(lambda: open_sink(f"gpio://{chip.name}/5").__enter__()),
        "no such line": refused(lambda: open_sink(f"gpio://{chip.name}/PQ.06").__enter__()),
        "beyond the last": refused(lambda: open_sink(f"gpio://{chip.name}/32").__enter__()),
        "no such chip": refused(lambda: open_sink("gpio://tegra/3").__enter__()),
        "no permission": as_nobody(f"gpio://{chip.name}/3"),
    }
    with open_sink(f"gpio://{chip.name}/11"):
        messages["in use by another"] = refused(lambda: GpioTrigger.at(f"gpio://{chip.name}/11"))
    report.say("what is refused", all(messages.values()), messages=messages)

    program = (
        "import sys, time; from edgead.sinks import open_sink; from edgead.frame import LostFrame; "
        f"s = open_sink('gpio://{chip.name}/12?pulse=10s'); s.open(); s.lost(LostFrame(0, '', time.time(), '')); "
        "time.sleep(0.5); print('high', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = chip.level(12)
        process.send_signal(signal.SIGKILL)
        process.wait()
    report.say("kill -9 in a pulse", before, high_before=before, high_after=chip.level(12))


def as_nobody(address: str) -> str:
    """What a user without permission is told."""
    os.seteuid(65534)
    try:
        return refused(lambda: open_sink(address).__enter__())
    finally:
        os.seteuid(0)


def barriers(chip: Chip, report: Report) -> None:
    """The trigger."""

    def pulse(line: int, low: float = 0.0) -> None:
        chip.pull(line, True)
        time.sleep(low)
        chip.pull(line, False)

    trigger = GpioTrigger.at(f"gpio://{chip.name}/17")
    for _ in range(5):
        pulse(17, 0.005)
    time.sleep(0.05)
    events = trigger.observe(None)
    trigger.close()
    report.say("rising edges begin parts", events == [Begin()] * 5, events=len(events))

    chip.pull(18, True)
    trigger = GpioTrigger.at(f"gpio://{chip.name}/18?edge=both&active=low&bias=pull-up")
    for up in (False, True, False, True):
        chip.pull(18, up)
        time.sleep(0.01)
    events = trigger.observe(None)
    trigger.close()
    report.say("both edges, active low", events == [Begin(), End()] * 2, events=[type(e).__name__ for e in events])

    trigger = GpioTrigger.at(f"gpio://{chip.name}/19?debounce=100ms")
    for _ in range(3):  # three parts, each with seven bounces
        for up in (True, False) * 7 + (True,):
            chip.pull(19, up)
        time.sleep(0.3)
        for up in (False, True) * 7 + (False,):
            chip.pull(19, up)
        time.sleep(0.3)
    events = trigger.observe(None)
    trigger.close()
    report.say("three parts and 42 bounces, debounced", events == [Begin()] * 3, events=len(events))

    for debounce in (0, 20, 100):
        trigger = GpioTrigger.at(f"gpio://{chip.name}/16?edge=both&debounce={debounce}ms")
        moved = []
        for up in (True, False) * 3:
            for bounce in (up, not up, up) if debounce else (up,):
                moved_at = time.monotonic()
                chip.pull(16, bounce)
            moved.append(moved_at)
            time.sleep(0.25)
        events = trigger.observe(None)
        trigger.close()
        late = [(event.at - at) * 1e3 for event, at in zip(events, moved, strict=False)]
        right = len(events) == 6 and all(-2 < each < 20 for each in late)
        report.say(f"edges have their time, debounce {debounce} ms", right, late_ms=[round(each, 2) for each in late])

    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at(f"gpio://{chip.name}/15?edge=both"))
    frames, outcomes = [], []
    for score in (2.0, 0.0, 1.0):
        for up in (True, False):
            chip.pull(15, up)
            time.sleep(0.02)
            seen = SCORING.bands.verdict(score if up else 2.0)
            captured = time.time()
            nothing = np.zeros((0, 0), np.float32)
            frames.append(
                (
                    Result(0.5, False, nothing, nothing > 0, score, seen, (), len(frames), "cam", captured),
                    Frame(np.zeros((8, 8, 3), np.uint8), len(frames), "cam", captured),
                )
            )
            time.sleep(0.02)
    for frame in frames:
        outcomes += ruling.apply(*frame)
    outcomes += ruling.finish()
    ruling.close()
    parts = [
        str(o) if isinstance(o, LostFrame) else (o[0].verdict.value, o[0].part.first_frame, o[0].part.frames)
        for o in outcomes
    ]
    report.say(
        "frames that are judged late", parts == [("reject", 0, 1), ("accept", 2, 1), ("warn", 4, 1)], parts=parts
    )

    trigger = GpioTrigger.at(f"gpio://{chip.name}/20")
    for _ in range(BUFFER + 300):
        pulse(20)
        time.sleep(0.002)  # or the simulated interrupt joins them
    time.sleep(0.05)
    events = list(trigger.observe(None))
    trigger.close()
    told = [event.reason for event in events if isinstance(event, Refused)]
    begun = len(events) - len(told)
    right = begun == BUFFER and len(told) == 1 and 280 < int(told[0].split()[0]) <= 300
    report.say("an overflow", right, edges=BUFFER + 300, begun=begun, told=told)

    ruling = Ruling(Rules(parts=PartRule("own")), SCORING, GpioTrigger.at(f"gpio://{chip.name}/21?edge=both"))
    script = [0, 0, 2, 0, 0, 0, 0, 0, None, 1, 0, 0, 0, 0]
    moves = {1: True, 4: False, 7: True, 10: False, 12: True}
    _, stream, error = run(
        script, rules=ruling, meanwhile=lambda at: chip.pull(21, moves[at]) if at in moves else None, period=0.2
    )
    ruling.close()
    parts = [(r.part.name, r.verdict.value, r.part.frames, r.part.lost) for r in stream.results if r.part]  # type: ignore
    wanted = [("1", "reject", 3, 0), ("2", "warn", 2, 1), ("3", "accept", 2, 0)]
    report.say("parts in a stream", parts == wanted, parts=parts, error=error)


def unplugged(chip: Chip, report: Report) -> None:
    """The chip goes in the middle of a run."""
    trigger = GpioTrigger.at(f"gpio://{chip.name}/17")
    address = f"gpio://{chip.name}/22?pulse=20ms"
    _, _, error = run([2] * 100, address, meanwhile=lambda at: chip.remove() if at == 5 else None)
    report.say("the chip goes: the sink", error.startswith(SinkError.__name__), error=error)
    message = refused(lambda: (trigger.observe(None), trigger)[1])
    report.say("the chip goes: the trigger", bool(message), error=message)
    trigger.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="a JSON file for what was seen")
    options = parser.parse_args()
    simulated, seen = Chip(), Report()
    for part in (gates, barriers, unplugged):
        part(simulated, seen)
    if options.output:
        device = f"gpio-sim of Linux {platform.release()}, gpiod {gpiod.__version__} (libgpiod {gpiod.api_version})"
        measuring.write(options.output, device, seen.figures)
    sys.exit(f"wrong: {', '.join(seen.wrong)}" if seen.wrong else 0)
