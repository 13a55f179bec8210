"""A distribution of durations in constant memory."""

from __future__ import annotations

import math

_LOWEST = 1e-3  # milliseconds
_PER_OCTAVE = 16
_OCTAVES = 32  # up to 4.3e6 ms, more than an hour


class Histogram:
    """Counts of milliseconds in logarithmic buckets: 512 integers, whether for a minute or for a year.

    A bucket is 4.4% wide, so a percentile is within 2.2% of the measured value; count, mean, smallest and largest are
    exact. One thread adds; others may read at any time.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.smallest, self.largest = math.inf, 0.0
        self._buckets = [0] * (_PER_OCTAVE * _OCTAVES)

    def add(self, milliseconds: float) -> None:
        """Count one duration."""
        place = int(_PER_OCTAVE * math.log2(max(milliseconds, _LOWEST) / _LOWEST))
        self._buckets[min(place, len(self._buckets) - 1)] += 1
        self.count += 1
        self.total += milliseconds
        self.smallest, self.largest = min(self.smallest, milliseconds), max(self.largest, milliseconds)

    def percentile(self, percent: float) -> float:
        """The value that `percent` (0..100) of the durations do not exceed, in milliseconds; 0 when there are none."""
        wanted, seen = self.count * percent / 100, 0
        for place, held in enumerate(self._buckets):
            seen += held
            if held and seen >= wanted:
                middle = _LOWEST * 2 ** ((place + 0.5) / _PER_OCTAVE)
                return min(max(middle, self.smallest), self.largest)
        return self.largest if self.count else 0.0
