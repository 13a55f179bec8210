"""What says that a part is there: the interface of every trigger, and one for whatever calls from another thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from edgead.frame import Frame

LONGEST_NAME = 200
MOST_EVENTS = 1000  # that wait for the next frame


@dataclass(frozen=True)
class Begin:
    """A part begins; one that was under way ends. name: empty for the next number. at: when, in seconds of
    time.monotonic, where the trigger knows that: a frame that was captured before it belongs to what was before, also
    where it is judged later. None: right before the frame that comes next."""

    name: str = ""
    at: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class End:
    """The part under way ended. at: as for `Begin`."""

    at: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Refused:
    """A signal that means nothing here. It is recorded as a fault: a part may have been missed."""

    reason: str


Event: TypeAlias = Begin | End | Refused


class Trigger(Protocol):
    """Asked once for every frame that was judged or lost, in the thread that judges."""

    def observe(self, frame: Frame | None) -> Sequence[Event]:
        """What happened since the last call, oldest first. frame: the one that comes next; None for a lost one, and
        at the end of a run."""

    def close(self) -> None:
        """The run is over: let go of what it was opened with. Also when called twice."""


class Signals:
    """Events of any thread that wait for the next frame; where none comes for long, a fault stands for what is more
    than MOST_EVENTS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []

    def put(self, event: Event) -> None:
        """Have one more wait."""
        with self._lock:
            if len(self._events) < MOST_EVENTS:
                self._events.append(event)
            elif len(self._events) == MOST_EVENTS:
                self._events.append(Refused(f"more than {MOST_EVENTS} signals before one frame: the others are lost"))

    def take(self) -> list[Event]:
        """What waits, oldest first."""
        with self._lock:
            events, self._events = self._events, []
        return events


class CallTrigger:
    """A trigger for everything that calls: a PLC, a fieldbus, a program. `begin` and `end` may be called in any
    thread."""

    def __init__(self) -> None:
        self._signals = Signals()

    def begin(self, name: str = "", at: float | None = None) -> None:
        """A part has come. name: what it is recorded as, by default its number. at: when, see `Begin`. Raises nothing:
        a name that cannot be recorded is a fault."""
        self._signals.put(named(name, at))

    def end(self, at: float | None = None) -> None:
        """The part has gone."""
        self._signals.put(End(at))

    def observe(self, frame: Frame | None) -> Sequence[Event]:
        """What was called since the last frame."""
        return self._signals.take()

    def close(self) -> None:
        """Nothing: whoever calls stops on their own."""


def named(name: str, at: float | None = None) -> Event:
    """The begin of a part of that name, or why there is none."""
    if len(name) > LONGEST_NAME or not name.isprintable():
        return Refused(f"the part's name is not {LONGEST_NAME} printable characters or less: {name[:40]!r}")
    return Begin(name, at)
