"""The bounded queue between two threads of a stream."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, Literal, TypeVar

from edgead.frame import Signal

T = TypeVar("T")


class Handover(Generic[T]):
    """Items go from one thread to another, in order, at most `size` at a time.

    The giver calls `put`, and `end` when nothing more will come. The taker calls `take`, and `close` when it wants no
    more. Either call frees the other side at once: nobody is ever left waiting for somebody who has gone.
    """

    def __init__(self, size: int) -> None:
        self.dropped = 0  # items that a newer one replaced before they were taken
        self._size = size
        self._items: deque[tuple[T, bool]] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T, *, replaces: bool = False) -> bool:
        """Hand an item over; wait while the queue is full. False when the taker has closed, and the item was not taken.

        replaces: the item takes the place of every waiting item that was itself put with `replaces`. Those are
        dropped and counted; others (the news of a lost frame) stay.
        """
        with self._changed:
            if replaces:
                kept = [entry for entry in self._items if not entry[1]]
                self.dropped += len(self._items) - len(kept)
                self._items = deque(kept)
            while len(self._items) >= self._size and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append((item, replaces))
            self._changed.notify_all()
            return True

    def take(self, timeout: float) -> T | Literal[Signal.TIMEOUT, Signal.END]:
        """The next item; TIMEOUT after `timeout` seconds without one; END when nothing will come or the queue was
        closed.

        Raises the error that the giver ended with, once every item before it was taken.
        """
        until = time.monotonic() + timeout
        with self._changed:
            while not self._items and not self._ended and not self._closed:
                left = until - time.monotonic()
                if left <= 0:
                    return Signal.TIMEOUT
                self._changed.wait(left)
            if self._items and not self._closed:
                item, _ = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None and not self._closed:
                raise self._error
            return Signal.END

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will be put, because of `error` if there was one."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be taken; what waits is let go."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
