"""How fast: the engine alone against the whole pipeline, in turns, on this machine."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgead.detector import Detector
from edgead.progress import Progress, silent
from edgead.sources import open_source
from edgead.streaming import Stream
from edgead.summary import Summary

_WARM_UP = 10


@dataclass
class Bench:
    """Frames per second of every round, engine and pipeline by turns, and the summary of the last pipeline round."""

    engine: list[float] = field(default_factory=list)
    pipeline: list[float] = field(default_factory=list)
    summary: Summary | None = None

    @property
    def share(self) -> float:
        """Median over the rounds of pipeline / engine: what is left of the engine's speed with everything around it."""
        return statistics.median(whole / bare for whole, bare in zip(self.pipeline, self.engine, strict=True))

    def to_json(self) -> dict[str, Any]:
        return {
            "engine_frames_per_second": [round(rate, 2) for rate in self.engine],
            "pipeline_frames_per_second": [round(rate, 2) for rate in self.pipeline],
            "pipeline_share_of_engine": round(self.share, 4),
            "pipeline": self.summary.to_json() if self.summary else None,
        }


def bench(detector: Detector, source: str, *, frames: int = 200, rounds: int = 3, progress: Progress = silent) -> Bench:
    """Measure in turns, so that a machine that changes its speed changes both: `rounds` times the engine on a frame in
    the host's memory, then the pipeline (capture, decode, resize, engine, judgement) on `frames` frames of `source`.

    Raises SourceError where the source cannot be read.
    """
    measured = Bench()
    image = np.random.default_rng(0).integers(0, 256, (1, detector.height, detector.width, 3), np.uint8)
    for _ in range(_WARM_UP):
        detector.engine.infer(image)
    for turn in range(rounds):
        progress("measuring", turn, rounds)
        begin = time.perf_counter()
        for _ in range(frames):
            detector.engine.infer(image)
        measured.engine.append(frames / (time.perf_counter() - begin))
        with Stream(detector, open_source(source), policy="every", max_frames=frames) as run:
            begin = time.perf_counter()
            judged = sum(1 for _ in run)
            measured.pipeline.append(judged / (time.perf_counter() - begin))
        measured.summary = run.summary
    progress("measuring", rounds, rounds)
    return measured
