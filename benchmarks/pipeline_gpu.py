"""The pipeline on a GPU beside its engine alone: frames of 1920 x 1080 from memory, through a stream, to verdicts.

The engine is a bundle's of TensorRT, or without one torch's on a LAMP and a UniAD that have learned nothing. Alone it
infers one image after the other that is on the device already. The pipeline should keep 95 % of its frames a second,
and the 99th percentile of the time from one verdict to the next stay below 1.3 times the median.

python benchmarks/pipeline_gpu.py [--bundle part.edgead] [--frames 500] [--rounds 3] [--output FILE]
"""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import arguments, write

from edgead import gpu
from edgead.engines.stage import Stage
from edgead.frame import Frame, Image
from edgead.loading import load
from edgead.pipeline.base import Answer
from edgead.pipeline.device import DevicePipeline
from edgead.result import Result, Verdict
from edgead.sources import Source
from edgead.streaming import Judge, Stream
from edgead.training.models import build
from edgead.training.stage import TorchStage

SHAPE = (1080, 1920, 3)
WARM_UP = 30


class Memory(Source):
    """Frames that are there already."""

    def __init__(self, images: list[Image]) -> None:
        super().__init__("memory")
        self._images = images

    def open(self) -> None:
        pass

    def read(self, timeout: float) -> Frame:
        return self._frame(self._images[self._next_id % len(self._images)])

    def close(self) -> None:
        pass


class Unjudged:
    """A pipeline without thresholds."""

    def __init__(self, pipeline: DevicePipeline) -> None:
        self.prepare, self.infer = pipeline.prepare, pipeline.infer

    def judge(self, answer: Answer, frame: Frame, timing: dict[str, float]) -> Result:
        about = (frame.frame_id, frame.source, frame.captured_at, timing)
        return Result(0.0, False, answer.anomaly_map, answer.anomaly_map > 0, answer.score, Verdict.ACCEPT, (), *about)


def alone(stage: Stage, frames: int) -> float:
    """Frames a second."""
    assert stage.size is not None
    with gpu.current():
        stream = gpu.Stream()
        memory = {"image": gpu.Memory(math.prod(stage.size) * 3)}
        memory |= {name: gpu.Memory(math.prod(shape) * 4) for name, shape in stage.outputs.items()}
        addresses = {name: place.address for name, place in memory.items()}
        for number in range(WARM_UP + frames):
            if number == WARM_UP:
                begin = time.perf_counter()
            stage.enqueue(addresses, 1, stream.handle)
            stream.synchronize()
        taken = time.perf_counter() - begin
        for place in memory.values():
            place.free()
        stream.close()
    return frames / taken


def streamed(judge: Judge[Any, Any], images: list[Image], frames: int) -> list[float]:
    """Milliseconds from one verdict to the next."""
    with Stream(judge, Memory(images), policy="every", max_frames=WARM_UP + frames) as run:
        times = [time.perf_counter() for _ in run]
    return [float(between) * 1e3 for between in np.diff(times[WARM_UP - 1 :])]


def measure(stage: Stage, judge: Judge[Any, Any], frames: int, rounds: int) -> dict[str, float]:
    """By turns, so that a device that changes its speed changes both."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, SHAPE, np.uint8) for _ in range(8)]
    shares, rates, gaps = [], [], []
    for _ in range(rounds):
        bare = alone(stage, frames)
        between = streamed(judge, images, frames)
        rates.append(1e3 / statistics.mean(between))
        shares.append(rates[-1] / bare)
        gaps += between
    median, late = np.percentile(gaps, (50, 99))
    return {
        "engine_frames_per_second": round(statistics.median(rates) / statistics.median(shares), 1),
        "pipeline_frames_per_second": round(statistics.median(rates), 1),
        "pipeline_share_of_engine": round(statistics.median(shares), 4),
        "p50_milliseconds": round(float(median), 3),
        "p99_milliseconds": round(float(late), 3),
        "p99_over_p50": round(float(late / median), 3),
    }


if __name__ == "__main__":
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--frames", type=int, default=500)
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    if given.bundle:
        with load(given.bundle, target="tensorrt", maps=False) as detector:
            assert isinstance(detector.engine, Stage)
            figures["tensorrt"] = measure(detector.engine, detector, given.frames, given.rounds)
    else:
        for family in ("lamp", "uniad"):
            with TorchStage(build(family, {}), "cuda") as stage:
                pipeline = DevicePipeline(stage, 0.5)
                figures[f"torch, {family}"] = measure(stage, Unjudged(pipeline), given.frames, given.rounds)
                pipeline.close()
    print(figures)
    write(given.output, torch.cuda.get_device_name() if torch.cuda.is_available() else gpu.describe().name, figures)
