"""When a line is active."""

from __future__ import annotations

import heapq
import math
from itertools import count


class Schedule:
    """Pulses to come, and the one under way. Times are seconds of one monotonic clock, which the caller reads.

    A pulse that begins while another is under way makes that longer, and one that begins late, as its thread was not
    there in time, still has its whole length. A length of infinity holds the line until one of 0 lets it go.
    """

    def __init__(self) -> None:
        self._coming: list[tuple[float, int, float]] = []  # a heap: begin, the order in which they came, length
        self._numbers = count()
        self._until = -math.inf

    def put(self, begin: float, length: float) -> None:
        """One more pulse."""
        heapq.heappush(self._coming, (begin, next(self._numbers), length))

    def level(self, now: float) -> bool:
        """Whether the line is active now. `now` never goes back."""
        while self._coming and self._coming[0][0] <= now:
            length = heapq.heappop(self._coming)[2]
            self._until = max(self._until, now + length) if length else -math.inf
        if now >= self._until:
            self._until = -math.inf
        return now < self._until

    def prolong(self, seconds: float) -> None:
        """The pulse under way began so much later than its level was asked for."""
        self._until += seconds

    @property
    def next(self) -> float:
        """When the level may change, after it was asked for; infinity: never."""
        begin = self._coming[0][0] if self._coming else math.inf
        return min(begin, math.inf if math.isinf(self._until) else self._until)

    def end(self, latest: float) -> int:
        """Drop what begins after `latest`, and let go what is held. Returns how many pulses were dropped."""
        kept = [pulse for pulse in self._coming if pulse[0] <= latest and math.isfinite(pulse[2])]
        dropped = len(self._coming) - len(kept)
        heapq.heapify(kept)
        self._coming = kept
        if self._until == math.inf:
            self._until = -math.inf
        return dropped
