"""Verdicts that move something: a reject gate, a lamp, a stop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edgead.errors import DataError, EdgeadError, SinkError
from edgead.frame import Frame, LostFrame
from edgead.gpio.address import GpioAddress
from edgead.gpio.claim import claim, need_gpiod
from edgead.gpio.pulses import Pulses
from edgead.result import Result
from edgead.sinks.base import Sink
from edgead.verdicts.moment import monotonic
from edgead.verdicts.parts import PartFault

log = logging.getLogger(__name__)

OPTIONS = ("on", "pulse", "delay", "active")
WORDS = ("accept", "warn", "reject", "fault")
PULSE = 0.2
SHORTEST_PULSE, LONGEST_PULSE, LONGEST_DELAY = 0.001, 10.0, 600.0
FINISH_SECONDS = 1.0  # pulses that begin within so long after the end of a run are still given
_STUCK = 5.0  # longer than that no line takes to be set


class GpioSink(Sink):
    """Drives the line of `gpio://CHIP/LINE?on=reject,fault&pulse=200ms&delay=0&active=high`; each option has here its
    default, and may be left out.

    on: for which verdicts it becomes active, of `accept`, `warn`, `reject` and `fault`, that is a lost frame or a part
    without a verdict: what was not judged is never an accept, so the gate moves for it as well. pulse: for how long.
    `hold`: until the next verdict or fault for which it does not. delay: the time from the frame's capture to the
    pulse, in which the part comes to the gate; 0: at once. With parts it counts from where the part began (`Part`),
    whichever of its frames is the worst; one of which a frame was lost is a `fault` there as well as what its verdict
    is. A verdict that comes later than the delay has its pulse at once, and is counted in `late`. active: the voltage
    that is active.

    Pulses are given by a thread of their own. One that begins during another makes that longer. The line is inactive
    from `open` on, and again after `close`, which waits for pulses that begin within FINISH_SECONDS; later ones are
    dropped, and the log says so. A line that fails is SinkError, which ends the run: a gate that does not move ships
    bad parts.
    """

    prompt = True

    def __init__(self, address: str) -> None:
        super().__init__(address)
        with _own_errors():
            self._address = GpioAddress.parse(address, OPTIONS)
            self._on = _words(self._address)
            self._length = _length(self._address)
            self._delay = self._address.seconds("delay", 0.0, most=LONGEST_DELAY)
            self._active_low = self._address.one_of("active", "high", {"high": False, "low": True})
        self.late = 0
        self._pulses: Pulses | None = None

    @property
    def where(self) -> str:
        return self._address.where

    def open(self) -> None:
        """Take the line, inactive. Raises SinkError where it cannot be had."""
        with _own_errors():
            need_gpiod(self.where)
            import gpiod

            value = gpiod.line.Value
            settings = gpiod.LineSettings(
                direction=gpiod.line.Direction.OUTPUT, active_low=self._active_low, output_value=value.INACTIVE
            )
            self._request = claim(self._address, settings)
        offset = self._request.offsets[0]

        def drive(active: bool) -> None:
            self._request.set_value(offset, value.ACTIVE if active else value.INACTIVE)

        self._drive = drive
        self._pulses = Pulses(drive, f"edgead-gpio-{offset}")

    def write(self, result: Result, frame: Frame) -> None:
        """Give the verdict's pulse, if it has one."""
        part = result.part
        if part is None:
            self._say({result.verdict.value}, monotonic(result.captured_at))
        else:
            self._say({result.verdict.value, *(("fault",) if part.lost else ())}, part.begun)

    def lost(self, lost: LostFrame) -> None:
        """Give the fault's pulse, if it has one."""
        begun = lost.begun if isinstance(lost, PartFault) else None
        self._say({"fault"}, monotonic(lost.captured_at) if begun is None else begun)

    def flush(self) -> None:
        """Nothing waits. Raises SinkError where the line has failed meanwhile."""
        self._check()

    def close(self) -> None:
        """Give the last pulses, and let the line go, inactive."""
        pulses, self._pulses = self._pulses, None
        if pulses is None:
            return
        patience = FINISH_SECONDS + _STUCK + (self._length if math.isfinite(self._length) else 0.0)
        try:
            dropped = pulses.finish(FINISH_SECONDS, patience)
            if pulses.failed is not None:
                self._drive(False)
                raise pulses.failed
        except Exception as error:
            todo = "check the chip and its cable, and where the gate is"
            raise self._failed(f"the line could not be set: {_why(error)}", todo) from error
        finally:
            self._request.release()
        if dropped:
            log.warning("%s: the run ended, and %d pulses that were to come later were not given", self.where, dropped)
        if self.late:
            log.warning("%s: %d verdicts came too late for the delay", self.where, self.late)

    def _say(self, words: set[str], moment: float) -> None:
        """Give the pulse for a verdict, whose delay counts from a time.monotonic."""
        pulses = self._check()
        length = self._length if words & self._on else 0.0
        if not length and not math.isinf(self._length):
            return
        now = time.monotonic()
        begin = moment + self._delay if self._delay else now
        if begin < now:
            self.late += 1
            if self.late == 1:
                told = "%s: a verdict came %.0f ms too late for the delay; its pulse is given at once"
                log.warning(told, self.where, (now - begin) * 1e3)
        pulses.put(max(begin, now), length)

    def _check(self) -> Pulses:
        if self._pulses is None:
            raise self._failed("the line is not open", "open the sink first")
        if (failed := self._pulses.failed) is not None:
            todo = "check the chip and its cable, and where the gate is"
            raise self._failed(f"the line cannot be set: {_why(failed)}", todo) from failed
        return self._pulses


def _words(address: GpioAddress) -> frozenset[str]:
    """The verdicts that an address names. Raises DataError."""
    given = address.options.get("on", "reject,fault").split(",")
    if unknown := [word for word in given if word not in WORDS]:
        raise DataError(f"on={unknown[0]} is not known", address.where, f"give some of {','.join(WORDS)}")
    return frozenset(given)


def _length(address: GpioAddress) -> float:
    """Seconds of a pulse; infinity to hold the line. Raises DataError."""
    if address.options.get("pulse") == "hold":
        return math.inf
    return address.seconds("pulse", PULSE, least=SHORTEST_PULSE, most=LONGEST_PULSE)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except EdgeadError as error:
        raise SinkError(error.what, error.where, error.todo) from error
