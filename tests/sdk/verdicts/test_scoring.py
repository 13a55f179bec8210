from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import edgead
from edgead.bands import Bands
from edgead.errors import DataError
from edgead.evaluation.thresholds import Threshold
from edgead.verdicts import Scoring


def test_with_everything_inside_it_is_the_graphs_score(fp32_bundle):
    random = np.random.default_rng(0)
    with edgead.load(fp32_bundle, target="openvino") as detector:
        scoring = Scoring.of(detector)
        assert scoring.kind == detector.bundle.manifest.options["score"] == "max"
        for _ in range(5):
            result = detector(random.integers(0, 256, (64, 64, 3), np.uint8))
            score = scoring.score(result.anomaly_map, np.ones((64, 64), np.bool_))
            assert score == pytest.approx(result.raw_score, rel=1e-5)
            assert scoring.bands.verdict(result.raw_score) is result.verdict
            assert scoring.bands.normalise(result.raw_score) == result.pred_score


@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0.05, 1))
def test_pooled_scores_are_averages_of_what_is_inside(seed, pool, share):
    """Against every window looked at for itself."""
    random = np.random.default_rng(seed)
    values = random.random((9, 7)).astype(np.float32)
    inside = random.random((9, 7)) < share
    inside[4, 3] = True
    best = 0.0
    for y in range(9 - pool + 1):
        for x in range(7 - pool + 1):
            there = inside[y : y + pool, x : x + pool]
            if there.any():
                found = values[y : y + pool, x : x + pool][there]
                best = max(best, float(found.sum()) / max(there.sum(), np.ceil(pool * pool / 2)))
    scoring = Scoring(Bands(None, (0.0, 1.0)), "max", pool)
    assert scoring.score(values, inside) == pytest.approx(best, rel=1e-6)
    pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(values)[None, None], pool, 1).max().item()
    assert scoring.score(values, np.ones_like(inside)) == pytest.approx(pooled, rel=1e-6)


def test_a_mean_is_that_of_the_area():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    scoring = Scoring(Bands(None, (0.0, 1.0)), "mean")
    assert scoring.score(values, values >= 8) == 9.5


def test_a_probability_has_no_areas(scoring, fp32_bundle):
    scoring.require_map()
    with pytest.raises(DataError, match="a probability for the whole picture"):
        replace(scoring, kind=None).require_map()
    with edgead.load(fp32_bundle, target="openvino") as detector:
        even = Threshold(0.5, "probability", {"scores": 5})
        detector.bands = replace(detector.bands, thresholds=replace(detector.thresholds, image=even, warn=even))
        assert Scoring.of(detector).kind is None
