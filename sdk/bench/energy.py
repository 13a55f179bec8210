"""The energy that engines take, where the machine has a meter that may be read."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edgead.bench import ina3221, rapl
from edgead.bench.engines import Clock, Timed, pictures
from edgead.bench.power import PowerMeter
from edgead.bench.programs import nvidia_smi
from edgead.progress import Progress, silent

LEAD, STRETCH = 1.0, 2.0
"""Seconds for which an engine runs before it is metered, as `nvidia-smi` gives the mean of the last second, and for
which it is metered then."""


class Meter(Protocol):
    """Measures the whole of something, such as a board or a GPU, whoever uses it and what it takes when idle."""

    @property
    def name(self) -> str:
        """What it measures."""

    def start(self) -> None:
        """Begin to measure."""

    def stop(self) -> float | None:
        """Joules since `start`; None where it gave no reading."""


def find_meters(root: Path = Path("/"), *, gpu: bool = False) -> tuple[list[Meter], str]:
    """The meters that can be read, of which none measures a part of what another does, and in words why others cannot.

    root: where `sys` is. gpu: whether a GPU that `nvidia-smi` knows belongs to it.
    """
    board = ina3221.find(root)
    if not isinstance(board, str):
        return [board], ""
    processor = rapl.find(root)
    meters: list[Meter] = [] if isinstance(processor, str) else [processor]
    reasons = [processor, board] if isinstance(processor, str) else []
    if gpu and _gpu_watts() is not None:
        meters.append(PowerMeter("GPU by nvidia-smi", _gpu_watts, every=0.25))
    elif gpu:
        reasons.append("nvidia-smi tells no power")
    return meters, "; ".join(reasons)


def joules_per_image(
    engines: Sequence[Timed],
    meters: Sequence[Meter],
    *,
    rounds: int = 3,
    lead: float = LEAD,
    stretch: float = STRETCH,
    clock: Clock = time.perf_counter,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Of every engine, joules for an image by the meter's name: one image a call, without a pause, by turns in every
    round. A meter that gave no reading is left out."""
    images = [0 for _ in engines]
    joules: list[dict[str, list[float | None]]] = [defaultdict(list) for _ in engines]
    for number in range(rounds * len(engines) if meters else 0):
        progress("measuring energy", number, rounds * len(engines))
        index = number % len(engines)
        _run(engines[index], lead, clock)
        for meter in meters:
            meter.start()
        images[index] += _run(engines[index], stretch, clock)
        for meter in meters:
            joules[index][meter.name].append(meter.stop())
    if meters:
        progress("measuring energy", rounds * len(engines), rounds * len(engines))
    return [
        {name: sum(taken) / count for name, readings in measured.items() if (taken := _whole(readings))}
        for count, measured in zip(images, joules, strict=True)
    ]


def _run(timed: Timed, seconds: float, clock: Clock) -> int:
    """How many images an engine has done when the time is over."""
    image, done = pictures(1, timed.size), 0
    end = clock() + seconds
    while clock() < end:
        timed.engine.infer(image)
        done += 1
    return done


def _whole(readings: list[float | None]) -> list[float]:
    """The readings, if none is missing."""
    taken = [reading for reading in readings if reading is not None]
    return taken if len(taken) == len(readings) else []


def _gpu_watts() -> float | None:
    drawn = nvidia_smi("power.draw").get("power.draw")
    try:
        return float(drawn) if drawn else None
    except ValueError:
        return None
