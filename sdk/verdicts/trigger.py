"""What says that a part is there: the interface of every trigger, and one for whatever calls from another thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from edgead.frame import Frame

LONGEST_NAME = 200


@dataclass(frozen=True)
class Begin:
    """A part begins with this frame; one that was under way ends before it. name: empty for the next number."""

    name: str = ""


@dataclass(frozen=True)
class End:
    """The part under way ended before this frame."""


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


class CallTrigger:
    """A trigger for everything that calls: a PLC, a fieldbus, a program. `begin` and `end` may be called in any
    thread."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def begin(self, name: str = "") -> None:
        """A part has come. name: what it is recorded as, by default its number. Raises nothing: a name that cannot be
        recorded is a fault."""
        self._events.append(named(name))

    def end(self) -> None:
        """The part has gone."""
        self._events.append(End())

    def observe(self, frame: Frame | None) -> Sequence[Event]:
        """What was called since the last frame."""
        return [self._events.popleft() for _ in range(len(self._events))]

    def close(self) -> None:
        """Nothing: whoever calls stops on their own."""


def named(name: str) -> Event:
    """The begin of a part of that name, or why there is none."""
    if len(name) > LONGEST_NAME or not name.isprintable():
        return Refused(f"the part's name is not {LONGEST_NAME} printable characters or less: {name[:40]!r}")
    return Begin(name)
