"""Runs and verdicts for the tests of this folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from edgead.bands import Bands
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.frame import Frame, LostFrame, Reading, Signal
from edgead.result import Result, Verdict
from edgead.sources import Source
from edgead.verdicts import Scoring

SCORING = Scoring(
    Bands(Thresholds(*(Threshold(value, "quantile", {}) for value in (2.0, 1.0, 1.5))), (0.0, 3.0)), "max"
)
FRAME = Frame(np.zeros((8, 8, 3), np.uint8), 0, "cam", 0.0)


def verdict(word: str, age: float = 0.0) -> Result:
    """A verdict on a frame that was captured so many seconds ago."""
    map_ = np.zeros((2, 2), np.float32)
    said = Verdict(word)
    return Result(0.5, said is Verdict.REJECT, map_, map_ > 0, 0.5, said, (), 0, "cam", time.time() - age)


def fault(age: float = 0.0) -> LostFrame:
    """A frame that was lost so many seconds ago."""
    return LostFrame(0, "cam", time.time() - age, "torn cable")


class Script(Source):
    """A source that plays a list: an image's brightest pixel, None for a lost frame, an exception to raise. before:
    called with a frame's id before it is captured."""

    def __init__(self, script: Sequence[object], before: Callable[[int], None] = lambda frame: None) -> None:
        super().__init__("script")
        self._script, self._before = iter(script), before

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout: float) -> Reading:
        step = next(self._script, Signal.END)
        if isinstance(step, BaseException):
            raise step
        if step is Signal.END:
            return Signal.END
        self._before(self._next_id)
        return self._lost("torn cable") if step is None else self._frame(np.full((8, 8, 3), step, np.uint8))

    def close(self) -> None:
        """Nothing to close."""


class Brightest:
    """0 is accepted, 1 a warning, 2 rejected. before: called with a frame's id before its verdict."""

    max_batch = 1

    def __init__(self, before: Callable[[int], None] = lambda frame: None) -> None:
        self._before = before

    def prepare(self, image):
        return image[..., 0].astype(np.float32)

    def infer(self, prepared):
        return prepared

    def judge(self, answer, frame, timing):
        self._before(frame.frame_id)
        score = float(answer.max())
        said = SCORING.bands.verdict(score)
        return Result(score / 3, said is Verdict.REJECT, answer, answer >= 1.5, score, said, (), frame.frame_id,
                      frame.source, frame.captured_at, timing, "digest")  # fmt: skip
