"""The thread that moves one line."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from edgead.gpio.schedule import Schedule


class Pulses:
    """Gives a line its pulses in time, so that nobody has to wait for them.

    drive: sets the line, called by one thread alone and only with what it is not already; it begins inactive. failed:
    what `drive` raised; it is then called no more. Times are those of time.monotonic.
    """

    def __init__(self, drive: Callable[[bool], None], name: str) -> None:
        self.failed: Exception | None = None
        self._drive, self._schedule = drive, Schedule()
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, begin: float, length: float) -> None:
        """One more pulse; see `Schedule`."""
        with self._changed:
            self._schedule.put(begin, length)
            self._changed.notify()

    def finish(self, within: float, patience: float) -> int:
        """Give the pulses that begin within so many seconds, let go what is held, and end. Returns how many pulses
        were dropped. Raises TimeoutError when that does not come to an end in `patience` seconds."""
        with self._changed:
            self._ending = True
            dropped = self._schedule.end(time.monotonic() + within)
            self._changed.notify()
        self._thread.join(patience)
        if self._thread.is_alive():
            raise TimeoutError(f"the line was not set within {patience:.0f} s")
        return dropped

    def _run(self) -> None:
        shown = False
        try:
            while (change := self._wait(shown)) is not None:
                shown, asked = change
                self._drive(shown)
                if shown:  # a line may be slow, and is active from now on
                    with self._changed:
                        self._schedule.prolong(time.monotonic() - asked)
        except Exception as error:  # noqa: BLE001 - whoever gives the next pulse raises it
            self.failed = error

    def _wait(self, shown: bool) -> tuple[bool, float] | None:
        """The level that the line has to have, as soon as that is not `shown`, and the time; None at the end."""
        with self._changed:
            while (level := self._schedule.level(now := time.monotonic())) is shown:
                until = self._schedule.next
                if self._ending and not level and until == math.inf:
                    return None
                self._changed.wait(None if until == math.inf else until - now)
            return level, now
