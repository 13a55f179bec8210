"""The bounded queue between two threads of a stream."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from edgead.frame import Signal

T = TypeVar("T")

NEWS = 1000
"""The size of a queue in which one frame waits, for the freshest to replace it, beside news of lost ones: were the news
to wait for room, the frame would grow old."""


@dataclass(frozen=True)
class _Entry(Generic[T]):
    item: T
    replaceable: bool


class _Lane(Generic[T]):
    """What waits of a lane, in order, and where its giver waits for room: nobody is woken for another's."""

    def __init__(self, lock: threading.Lock) -> None:
        self.entries: deque[_Entry[T]] = deque()
        self.room = threading.Condition(lock)

    def give_way_to(self, item: T) -> bool:
        """Put an item in the place of the one that is replaceable, of which there is one at most; False without one."""
        for place, entry in enumerate(self.entries):
            if entry.replaceable:
                del self.entries[place]
                self.entries.append(_Entry(item, True))
                return True
        return False


class Handover(Generic[T]):
    """Items go from one thread to another, those of a lane in order, at most `size` of it at a time.

    A giver calls `put`, and `end` when nothing more will come. The taker calls `take` or `take_some`, and `close` when
    it wants no more. Either call frees the other side at once: nobody is ever left waiting for somebody who has gone.
    Lanes share the taker and nothing else: one that is full, or whose items are replaced, holds up no other. An item
    that replaces another one has its turn: else a lane that is quicker than the taker would never have one.
    """

    def __init__(self, size: int) -> None:
        self.dropped = 0  # items that a newer one replaced before they were taken
        self._size = size
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane[T]] = {}
        self._turns: deque[_Lane[T]] = deque()  # the lane of every item that waits
        self._filled = threading.Condition(self._lock)  # for the taker
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T, *, replaces: bool = False, lane: str = "") -> bool:
        """Hand an item over; wait while its lane is full. False when the taker has closed, and the item was not taken.

        replaces: the item takes the place of the waiting one of its lane that was itself put with `replaces`. That one
        is dropped and counted; others (the news of a lost frame) stay.
        """
        with self._lock:
            mine = self._lanes.setdefault(lane, _Lane(self._lock))
            while not self._closed:
                if replaces and mine.give_way_to(item):
                    self.dropped += 1
                    return True
                if len(mine.entries) < self._size:
                    mine.entries.append(_Entry(item, replaces))
                    self._turns.append(mine)
                    self._filled.notify()
                    return True
                mine.room.wait()
            return False

    def take(self, timeout: float) -> T | Literal[Signal.TIMEOUT, Signal.END]:
        """The next item; TIMEOUT after `timeout` seconds without one; END when nothing will come or the queue was
        closed.

        Raises the error that the giver ended with, once every item before it was taken.
        """
        taken = self.take_some(timeout, 1)
        return taken[0] if isinstance(taken, list) else taken

    def take_some(self, timeout: float, limit: int) -> list[T] | Literal[Signal.TIMEOUT, Signal.END]:
        """What waits, at most `limit` items, first of the lane whose turn it has been for longest; else as `take`. It
        waits for the first item alone."""
        until = time.monotonic() + timeout
        with self._lock:
            while not self._turns and not self._ended and not self._closed:
                left = until - time.monotonic()
                if left <= 0:
                    return Signal.TIMEOUT
                self._filled.wait(left)
            if self._turns:
                taken = [self._turns.popleft() for _ in range(min(limit, len(self._turns)))]
                for lane in taken:
                    lane.room.notify_all()
                return [lane.entries.popleft().item for lane in taken]
            if self._error is not None and not self._closed:
                raise self._error
            return Signal.END

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will be put, because of `error` if there was one."""
        with self._lock:
            self._ended, self._error = True, error
            self._filled.notify_all()

    def close(self) -> None:
        """Nothing more will be taken; what waits is let go."""
        with self._lock:
            self._closed = True
            self._turns.clear()
            for lane in self._lanes.values():
                lane.entries.clear()
                lane.room.notify_all()
            self._filled.notify_all()
