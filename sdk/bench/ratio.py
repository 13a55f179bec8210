"""Whether an engine is faster than another, on this machine, now."""

from __future__ import annotations

import statistics
import time

from edgead.bench.engines import SLICE, Timed, take_turns, warm_up
from edgead.engines.base import Engine

WORTH = 0.97
"""An engine that takes more of another's time is as fast as that: the rest is what two measurements differ by."""
ROUNDS, MOST = 3, 60
SECONDS = 3.0


def relative_time(engine: Engine, reference: Engine, size: tuple[int, int]) -> float:
    """The time that a running engine takes for one image, as a share of that of another: the median of three rounds, by
    turns, in about three seconds where both are not too slow for that. size: (height, width) of their images."""
    ours, theirs = Timed(engine, size), Timed(reference, size)
    warm_up(ours)
    warm_up(theirs)
    begin = time.perf_counter()
    take_turns([ours, theirs], frames=1, rounds=1)
    calls = SLICE * SECONDS / max(time.perf_counter() - begin, 1e-6) / ROUNDS
    take_turns([ours, theirs], frames=min(MOST, max(SLICE, int(calls))), rounds=ROUNDS)
    return statistics.median(ours.ratios(theirs))
