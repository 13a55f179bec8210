"""From the power at many moments to energy."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

from edgead.bench.engines import Clock


class PowerMeter:
    """Asks for the watts again and again in a thread of its own: their mean, times the seconds between `start` and
    `stop`, is the energy.

    watts: what is drawn now, or None where it cannot be told. every: seconds between two questions.
    """

    def __init__(
        self, name: str, watts: Callable[[], float | None], *, every: float = 0.05, clock: Clock = time.perf_counter
    ) -> None:
        self.name, self._watts, self._every, self._clock = name, watts, every, clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._readings: list[float] = []
        self._stop.clear()
        self._thread = threading.Thread(target=self._sample, name="edgead-power", daemon=True)
        self._begin = self._clock()
        self._thread.start()

    def stop(self) -> float | None:
        """Joules since `start`; None where the watts could never be told."""
        if self._thread is None:
            return None
        seconds = self._clock() - self._begin
        self._stop.set()
        self._thread.join()
        self._thread = None
        return statistics.mean(self._readings) * seconds if self._readings else None

    def _sample(self) -> None:
        while True:
            if (watts := self._watts()) is not None:
                self._readings.append(watts)
            if self._stop.wait(self._every):
                return
