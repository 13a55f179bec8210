"""Everything that was measured in one run, and its JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgead import __version__
from edgead.bench.engines import Timed
from edgead.bench.machine import Machine, Pace
from edgead.bench.memory import Memory
from edgead.bench.pipeline import Piped


@dataclass
class Measured:
    """One engine of a run. bundle: as the others know it, its file's name where that is enough. device: what it runs
    on. joules: for an image, by meter; empty where there was none. piped: None where it was not asked for."""

    bundle: str
    precision: str
    target: str
    runtime_version: str
    device: str
    memory: Memory
    timed: Timed
    joules: Mapping[str, float] = field(default_factory=dict)
    piped: Piped | None = None

    @property
    def name(self) -> str:
        return f"{self.bundle} {self.precision} {self.target}"


@dataclass
class Report:
    """A run. before, after: the machine's pace before anything was loaded, and right after the engines had their turns.
    meters: those that gave `joules`. no_energy: what could not be metered and why."""

    machine: Machine
    before: Pace
    after: Pace
    engines: list[Measured]
    frames: int
    rounds: int
    meters: tuple[str, ...] = ()
    no_energy: str = ""

    def ratio(self, engine: Measured) -> tuple[float, float, float]:
        """What a median call of an engine takes as a multiple of the first engine's, image by image: the median over
        the rounds, the least and the most."""
        ratios = engine.timed.ratios(self.engines[0].timed)
        return statistics.median(ratios), min(ratios), max(ratios)

    def to_json(self) -> dict[str, Any]:
        """The run, ready for JSON:

        - `edgead`: the version. `frames`, `rounds`: as given.
        - `machine`: the fields of `Machine`, and `before` and `after` with those of `Pace`.
        - `energy`: `meters`, and `reason` for what was not metered (null where nothing is missing).
        - `engines`, in the order given, each with
          - `bundle`, `precision`, `target`, `runtime_version`, `device`
          - `batches`: by batch `p50`, `p95`, `p99` and `mean` milliseconds of a call, `images_per_second`, `calls`
          - `ratio_to_first`: `median`, `least` and `most` of the rounds, of the time of a median call of one image
          - `memory_mib`: `resident` and `device` (null on a CPU), as `Memory` says
          - `joules_per_image`: by meter, and their `sum`; null where there is no meter
          - `pipeline`: null where it was not asked for, else `engine_frames_per_second` and
            `pipeline_frames_per_second` of every round, `pipeline_share_of_engine`, `pipeline_overhead` (of the time of
            a frame, the share in which the engine waits), and in `pipeline` the summary of the last round.
        """
        return {
            "edgead": __version__,
            "frames": self.frames,
            "rounds": self.rounds,
            "machine": {**self.machine.to_json(), "before": self.before.to_json(), "after": self.after.to_json()},
            "energy": {"meters": list(self.meters), "reason": self.no_energy or None},
            "engines": [self._engine(engine) for engine in self.engines],
        }

    def _engine(self, engine: Measured) -> dict[str, Any]:
        median, least, most = self.ratio(engine)
        memory, joules = engine.memory, {**engine.joules, "sum": sum(engine.joules.values())}
        return {
            "bundle": engine.bundle,
            "precision": engine.precision,
            "target": engine.target,
            "runtime_version": engine.runtime_version,
            "device": engine.device,
            "batches": {str(batch): _batch(engine.timed, batch) for batch in engine.timed.batches},
            "ratio_to_first": {"median": round(median, 4), "least": round(least, 4), "most": round(most, 4)},
            "memory_mib": {"resident": _mib(memory.resident), "device": _mib(memory.device)},
            "joules_per_image": {name: round(value, 6) for name, value in joules.items()} if engine.joules else None,
            "pipeline": engine.piped.to_json() if engine.piped else None,
        }


def _batch(timed: Timed, batch: int) -> dict[str, Any]:
    milliseconds = {f"p{percent}": round(timed.percentile(percent, batch), 4) for percent in (50, 95, 99)}
    return {
        **milliseconds,
        "mean": round(statistics.mean(timed.calls(batch)), 4),
        "images_per_second": round(timed.rate(batch), 2),
        "calls": len(timed.calls(batch)),
    }


def _mib(size: int | None) -> float | None:
    return None if size is None else round(size / 2**20, 1)
