"""A light barrier that begins parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from edgead.errors import SourceError
from edgead.frame import Frame
from edgead.gpio.address import GpioAddress
from edgead.gpio.claim import claim, need_gpiod
from edgead.verdicts.trigger import Begin, End, Event, Refused

if TYPE_CHECKING:
    import gpiod

OPTIONS = ("edge", "debounce", "bias", "active")
BUFFER = 1024  # edges that the kernel keeps between two frames, the most that it does for one line
LONGEST_DEBOUNCE = 10.0  # seconds
_NUMBERS = 1 << 32  # the kernel counts edges in 32 bits


class GpioTrigger:
    """The edges of one line. Each begins a part; with edge=both the line's becoming inactive ends it.

    The kernel keeps the edges with their times, and counts them: it is asked what is there and never waits. A part has
    the frames that were captured between its edge and the next one, however late they are judged. Where more edges came
    between two frames than the kernel keeps, the oldest are gone, which is told as `Refused`. A line that fails is
    SourceError, as without it all parts would be one.
    """

    def __init__(self, request: gpiod.LineRequest, where: str, *, ends: bool = False, debounce: float = 0.0) -> None:
        self._request: gpiod.LineRequest | None = request
        self._where, self._ends, self._debounce = where, ends, debounce
        self._next = 1  # the number of the next edge

    @classmethod
    def at(cls, address: str) -> GpioTrigger:
        """`gpio://CHIP/LINE?edge=rising&debounce=5ms&bias=pull-up&active=low`, opened.

        edge: `rising` (the default) is the line's becoming active, `falling` its becoming inactive, `both` both.
        active: the voltage that is active, `high` (the default) or `low`. debounce: how long a level has to last to
        count, by default as short as it may be. bias: `as-is` (the default), `pull-up`, `pull-down` or `disabled`; a
        chip that has none leaves it out.

        Raises DataError for an address that is none, SourceError where the line cannot be had.
        """
        parsed = GpioAddress.parse(address, OPTIONS)
        debounce = parsed.seconds("debounce", 0.0, most=LONGEST_DEBOUNCE)
        edge = parsed.one_of("edge", "rising", {"rising": "RISING", "falling": "FALLING", "both": "BOTH"})
        biases = {"as-is": "AS_IS", "pull-up": "PULL_UP", "pull-down": "PULL_DOWN", "disabled": "DISABLED"}
        bias = parsed.one_of("bias", "as-is", biases)
        active_low = parsed.one_of("active", "high", {"high": False, "low": True})
        need_gpiod(parsed.where)
        import gpiod

        settings = gpiod.LineSettings(
            direction=gpiod.line.Direction.INPUT,
            edge_detection=gpiod.line.Edge[edge],
            bias=gpiod.line.Bias[bias],
            active_low=active_low,
            debounce_period=timedelta(seconds=debounce),
        )
        return cls(claim(parsed, settings, buffer=BUFFER), parsed.where, ends=edge == "BOTH", debounce=debounce)

    def observe(self, frame: Frame | None) -> Sequence[Event]:
        """The edges since the last call. Raises SourceError."""
        if self._request is None:
            return []
        try:
            edges = self._request.read_edge_events(BUFFER) if self._request.wait_edge_events(0) else []
        except OSError as error:
            what = f"the trigger's line has failed: {error.strerror}"
            raise SourceError(what, self._where, "check the chip and its cable") from error
        return [event for edge in edges for event in self._events(edge)]

    def close(self) -> None:
        """Give the line back."""
        request, self._request = self._request, None
        if request is not None:
            request.release()

    def _events(self, edge: gpiod.EdgeEvent) -> list[Event]:
        missed = (edge.line_seqno - self._next) % _NUMBERS
        self._next = edge.line_seqno + 1
        ended = self._ends and edge.event_type is edge.Type.FALLING_EDGE
        at = edge.timestamp_ns / 1e9 - self._debounce  # of CLOCK_MONOTONIC, once the level has lasted so long
        event: Event = End(at) if ended else Begin(at=at)
        if not missed:
            return [event]
        return [Refused(f"{missed} edges came too fast and were lost: parts may have been missed"), event]
