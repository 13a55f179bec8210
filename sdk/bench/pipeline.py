"""The engine alone against the whole pipeline around it, by turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgead.bench.engines import SLICE, pictures
from edgead.detector import Detector
from edgead.errors import SourceError
from edgead.progress import Progress, silent
from edgead.sources import open_source
from edgead.streaming import Stream
from edgead.summary import Summary


@dataclass
class Piped:
    """Frames per second of every round, engine and pipeline by turns, the seconds of each pipeline round that passed in
    its engine (0..1 of the round), and the summary of the last pipeline round."""

    engine: list[float] = field(default_factory=list)
    pipeline: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    summary: Summary | None = None

    @property
    def share(self) -> float:
        """Median over the rounds of pipeline / engine: what is left of the engine's speed with everything around it."""
        return statistics.median(whole / bare for whole, bare in zip(self.pipeline, self.engine, strict=True))

    @property
    def overhead(self) -> float:
        """Median over the rounds: of the time of a frame, the share in which the engine waits for something else."""
        return 1 - statistics.median(self.inside)

    def to_json(self) -> dict[str, Any]:
        return {
            "engine_frames_per_second": [round(rate, 2) for rate in self.engine],
            "pipeline_frames_per_second": [round(rate, 2) for rate in self.pipeline],
            "pipeline_share_of_engine": round(self.share, 4),
            "pipeline_overhead": round(self.overhead, 4),
            "pipeline": self.summary.to_json() if self.summary else None,
        }


def pipelines(
    detectors: Sequence[Detector], source: str, *, frames: int = 200, rounds: int = 3, progress: Progress = silent
) -> list[Piped]:
    """Measure in turns, so that a machine that changes its speed changes all: `rounds` times for each detector its
    engine on a frame in the host's memory, then its pipeline (capture, decode, resize, engine, judgement) on `frames`
    frames of `source`.

    Raises SourceError where the source cannot be read, or none of its frames judged.
    """
    measured = [Piped() for _ in detectors]
    turns = [(detector, piped) for _ in range(rounds) for detector, piped in zip(detectors, measured, strict=True)]
    for number, (detector, piped) in enumerate(turns):
        progress("measuring pipelines", number, len(turns))
        piped.engine.append(_alone(detector, frames))
        with Stream(detector, open_source(source), policy="every", max_frames=frames) as run:
            begin = time.perf_counter()
            inferring = [result.timing["infer"] / 1e3 for result in run]
            taken = time.perf_counter() - begin
        if not inferring:
            what = f"none of its {run.summary.frames} frames can be judged, so there is no speed to measure"
            raise SourceError(what, run.summary.source, "give another source, or leave --source out")
        piped.pipeline.append(len(inferring) / taken)
        piped.inside.append(min(1.0, sum(inferring) / taken))
        piped.summary = run.summary
    progress("measuring pipelines", len(turns), len(turns))
    return measured


def _alone(detector: Detector, frames: int) -> float:
    image = pictures(1, (detector.height, detector.width))
    for _ in range(SLICE):
        detector.engine.infer(image)
    begin = time.perf_counter()
    for _ in range(frames):
        detector.engine.infer(image)
    return frames / (time.perf_counter() - begin)
