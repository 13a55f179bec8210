"""The bounded queue between two threads of a stream."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from edgead.frame import Signal

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry(Generic[T]):
    item: T
    replaceable: bool
    lane: str


class Handover(Generic[T]):
    """Items go from one thread to another, in order, at most `size` of a lane at a time.

    A giver calls `put`, and `end` when nothing more will come. The taker calls `take` or `take_some`, and `close` when
    it wants no more. Either call frees the other side at once: nobody is ever left waiting for somebody who has gone.
    Lanes share the taker and nothing else: one that is full, or whose items are replaced, holds up no other.
    """

    def __init__(self, size: int) -> None:
        self.dropped = 0  # items that a newer one replaced before they were taken
        self._size = size
        self._items: deque[_Entry[T]] = deque()
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)  # for the taker
        self._room: dict[str, threading.Condition] = {}  # for the givers of each lane: none is woken for another's room
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T, *, replaces: bool = False, lane: str = "") -> bool:
        """Hand an item over; wait while its lane is full. False when the taker has closed, and the item was not taken.

        replaces: the item takes the place of every waiting item of its lane that was itself put with `replaces`. Those
        are dropped and counted; others (the news of a lost frame) stay.
        """
        with self._lock:
            if replaces:
                kept = [entry for entry in self._items if not entry.replaceable or entry.lane != lane]
                self.dropped += len(self._items) - len(kept)
                self._items = deque(kept)
            room = self._room.setdefault(lane, threading.Condition(self._lock))
            while sum(entry.lane == lane for entry in self._items) >= self._size and not self._closed:
                room.wait()
            if self._closed:
                return False
            self._items.append(_Entry(item, replaces, lane))
            self._filled.notify()
            return True

    def take(self, timeout: float) -> T | Literal[Signal.TIMEOUT, Signal.END]:
        """The next item; TIMEOUT after `timeout` seconds without one; END when nothing will come or the queue was
        closed.

        Raises the error that the giver ended with, once every item before it was taken.
        """
        taken = self.take_some(timeout, 1)
        return taken[0] if isinstance(taken, list) else taken

    def take_some(self, timeout: float, limit: int) -> list[T] | Literal[Signal.TIMEOUT, Signal.END]:
        """What waits, the longest first, at most `limit` items; else as `take`. It waits for the first item alone."""
        until = time.monotonic() + timeout
        with self._lock:
            while not self._items and not self._ended and not self._closed:
                left = until - time.monotonic()
                if left <= 0:
                    return Signal.TIMEOUT
                self._filled.wait(left)
            if self._items and not self._closed:
                taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
                for lane in {entry.lane for entry in taken}:
                    self._room[lane].notify_all()
                return [entry.item for entry in taken]
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
            self._items.clear()
            for waiting in (self._filled, *self._room.values()):
                waiting.notify_all()
