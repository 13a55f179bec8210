"""Engines by turns in one run, so that a machine that changes its speed changes it for all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgead.engines.base import Engine
from edgead.progress import Progress, silent

Clock = Callable[[], float]
"""Seconds from any beginning."""

SLICE = 10
"""Calls that an engine has in a row before the next one's turn; also the fewest of a round, and of a warm-up."""


@dataclass
class Timed:
    """A running engine, the batches to measure, and the milliseconds of every call that counts: by batch, then by
    round, in the order of the calls. size: (height, width) of its images."""

    engine: Engine
    size: tuple[int, int]
    batches: tuple[int, ...] = (1,)
    milliseconds: dict[int, list[list[float]]] = field(default_factory=dict)

    def calls(self, batch: int = 1) -> list[float]:
        """The milliseconds of all rounds."""
        return [taken for turn in self.milliseconds[batch] for taken in turn]

    def percentile(self, percent: float, batch: int = 1) -> float:
        """The milliseconds that `percent` (0..100) of the calls do not exceed: exact, between two calls linear."""
        return float(np.percentile(self.calls(batch), percent))

    def rate(self, batch: int) -> float:
        """Images a second over all calls, the slow ones included."""
        taken = self.calls(batch)
        return 1e3 * batch * len(taken) / sum(taken)

    def ratios(self, first: Timed) -> list[float]:
        """Of every round, the median call as a multiple of that of another engine in the same round; one image a
        call."""
        rounds = zip(self.milliseconds[1], first.milliseconds[1], strict=True)
        return [float(np.median(ours) / np.median(theirs)) for ours, theirs in rounds]


def pictures(batch: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Random images, uint8 [batch, H, W, 3]: the same for every engine of a size, and the first ones of a larger
    batch."""
    return np.random.default_rng(0).integers(0, 256, (batch, *size, 3), np.uint8)


def warm_up(timed: Timed) -> None:
    """What an engine does only once, for every batch: choosing kernels, taking memory."""
    for batch in timed.batches:
        images = pictures(batch, timed.size)
        for _ in range(max(2, SLICE // batch)):
            timed.engine.infer(images)


def take_turns(
    engines: Sequence[Timed],
    *,
    frames: int = 200,
    rounds: int = 3,
    clock: Clock = time.perf_counter,
    progress: Progress = silent,
) -> None:
    """Measure warmed-up engines: in every round about `frames` images in each batch, and no fewer than SLICE calls.

    The engines take turns of SLICE calls, every other time in the opposite order, so that no one is always first. A
    turn begins with one call that does not count: it finds the caches full of another engine's weights, which in
    use it would not.

    The time of a call is that from a batch in the host's memory to answers in the host's memory.
    """
    batches = sorted({batch for one in engines for batch in one.batches})
    for turn in range(rounds):
        for index, batch in enumerate(batches):
            progress("measuring engines", turn * len(batches) + index, rounds * len(batches))
            _round([one for one in engines if batch in one.batches], batch, frames, clock)
    progress("measuring engines", rounds * len(batches), rounds * len(batches))


def _round(engines: list[Timed], batch: int, frames: int, clock: Clock) -> None:
    images = {one.size: pictures(batch, one.size) for one in engines}
    for one in engines:
        one.milliseconds.setdefault(batch, []).append([])
    calls = max(SLICE, math.ceil(frames / batch))
    for number, begin in enumerate(range(0, calls, SLICE)):
        for one in reversed(engines) if number % 2 else engines:
            one.engine.infer(images[one.size])
            for _ in range(min(SLICE, calls - begin)):
                started = clock()
                one.engine.infer(images[one.size])
                one.milliseconds[batch][-1].append((clock() - started) * 1e3)
