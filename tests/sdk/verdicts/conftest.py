"""Detectors that are their thresholds alone, and frames with maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgead.bands import Bands
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.frame import Frame
from edgead.regions import find_spots, in_frame
from edgead.result import Result
from edgead.verdicts import Scoring

Make = Callable[..., tuple[Result, Frame]]


@pytest.fixture
def scoring() -> Scoring:
    """Rejects a map whose maximum is 3 or more, warns from 1, regions from 2."""
    values = {"image": 3.0, "warn": 1.0, "pixel": 2.0}
    thresholds = Thresholds(**{name: Threshold(value, "quantile", {}) for name, value in values.items()})
    return Scoring(Bands(thresholds, (0.0, 6.0)), "max")


@pytest.fixture
def judged(scoring: Scoring) -> Make:
    """A map [H, W] -> what the detector says of it, and a frame of 4 times its size."""

    def judge(anomaly_map: np.ndarray, frame_id: int = 0) -> tuple[Result, Frame]:
        values = np.asarray(anomaly_map, np.float32)
        score = float(values.max())
        frame = Frame(
            np.zeros((4 * values.shape[0], 4 * values.shape[1], 3), np.uint8), frame_id, "cell", 1e9 + frame_id
        )
        regions = in_frame(find_spots(values, 2.0), values.shape, *frame.image.shape[:2])
        verdict = scoring.bands.verdict(score)
        return Result(
            scoring.bands.normalise(score), score >= 3, values, values >= 2, score, verdict, regions,
            frame_id, "cell", frame.captured_at,
        ), frame  # fmt: skip

    return judge
