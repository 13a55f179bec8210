"""The scores of good parts against those at export: how often it is wrong, and what it finds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from edgead.drift import Reference, Scores
from edgead.drift.scores import beta_binomial, correlation_time, least_probable
from edgead.evaluation.thresholds import fit_thresholds
from edgead.frame import Frame
from edgead.result import Result, Verdict

FRAME = Frame(np.zeros((2, 2, 3), np.uint8), 7, "cell", 5.0)
NOTHING = np.zeros((0, 0), np.float32)


def result(score: float, verdict: Verdict = Verdict.ACCEPT) -> Result:
    return Result(0.5, False, NOTHING, NOTHING > 0, float(score), verdict, (), 7, "cell", 5.0)


def bundled(scores: np.ndarray, method: str = "tail") -> Reference:
    """What a bundle tells of its good images' scores today."""
    thresholds = fit_thresholds(scores, scores, method=method)
    lowest, reject = float(scores.min()), thresholds.image.value
    return Reference.of(thresholds, (lowest, 2 * reject - lowest))


def line(random: np.random.Generator, count: int, correlation: float) -> np.ndarray:
    """Scores whose logarithm is normal, each like the one before it."""
    noise = random.normal(size=count) * np.sqrt(1 - correlation**2)
    noise[0] = random.normal()
    for place in range(1, count):
        noise[place] += correlation * noise[place - 1]
    return np.exp(0.3 * noise)


@pytest.mark.parametrize(("n", "a", "b"), [(0, 0.5, 0.5), (10, 0.5, 50.5), (300, 12.3, 52.1)])
def test_beta_binomial_is_scipys(n, a, b):
    np.testing.assert_allclose(beta_binomial(n, a, b), stats.betabinom.pmf(np.arange(n + 1), n, a, b), rtol=1e-9)


@pytest.mark.parametrize(("correlation", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.8, 9.0)])
def test_frames_that_resemble_each_other_count_as_fewer(correlation, expected):
    """tau of an autoregressive series is (1 + rho) / (1 - rho)."""
    random = np.random.default_rng(0)
    times = [correlation_time(line(random, 2000, correlation)) for _ in range(20)]
    assert np.mean(times) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("kinds", [2, 3, 20])
def test_scores_that_are_equal_do_not_resemble_each_other_by_their_order(kinds):
    """As of an engine in INT8, or of many parts without any anomaly."""
    random = np.random.default_rng(0)
    assert np.mean([correlation_time(random.integers(0, kinds, 500)) for _ in range(20)]) < 1.2
    assert correlation_time(np.full(500, 0.25)) == 500
    scores = Scores(Reference.of_scores(random.integers(0, kinds, 200)))
    (change,) = (
        change for score in random.integers(0, kinds, 500) + kinds for change in scores.observe(FRAME, result(score))
    )
    assert change.value == 1


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
@pytest.mark.parametrize("images", [30, 300])
@pytest.mark.parametrize("make", [bundled, Reference.of_scores])
def test_the_rate_of_false_alarms_is_kept(correlation, images, make):
    """At one in a hundred, so that a few hundred windows tell: each with a reference of its own."""
    random = np.random.default_rng(1)
    windows = 300
    alarms = sum(
        least_probable(line(random, 200, correlation), make(line(random, images, 0.0)))[0] < 0.01
        for _ in range(windows)
    )
    assert alarms <= stats.binom.ppf(0.999, windows, 0.01)


@pytest.mark.parametrize("make", [bundled, Reference.of_scores])
@pytest.mark.parametrize("factor", [0.6, 1.35])
def test_scores_that_move_are_said_once(make, factor):
    random = np.random.default_rng(2)
    scores = Scores(make(line(random, 200, 0.0)))
    said = []
    for part in (1.0, factor, factor, 1.0, factor):
        for score in part * line(random, 1000, 0.3):
            said += [(part, change) for change in scores.observe(FRAME, result(score))]
    assert [part for part, _ in said] == [factor, factor]
    change = said[0][1]
    assert (change.what, change.frame_id, change.source) == ("scores", 7, "cell")
    assert (change.value > change.usual) == (factor > 1)
    assert f"{change.value:.0%} of the last 500 good frames" in change.text


def test_a_part_that_rests_says_nothing_of_others():
    """Each part is seen for 200 frames: 500 frames are three parts, which may well be alike."""
    random = np.random.default_rng(6)
    scores = Scores(Reference.of_scores(line(random, 200, 0.0)))
    for part in line(random, 100, 0.0):
        for noise in random.normal(0, 1e-3, 200):
            assert scores.observe(FRAME, result(part + noise)) == []


def test_rejected_frames_are_no_good_ones():
    random = np.random.default_rng(3)
    scores = Scores(bundled(line(random, 200, 0.0)))
    for score in line(random, 3000, 0.0):
        assert scores.observe(FRAME, result(score)) == []
        assert scores.observe(FRAME, result(100.0, Verdict.REJECT)) == []


def test_what_a_bundle_tells_of_its_scores():
    values = line(np.random.default_rng(4), 200, 0.0)
    for method, levels in (("tail", 3), ("quantile", 2), ("f1", 3)):
        bad = values[:20] + 5
        thresholds = fit_thresholds(values, values, method=method, anomalous_scores=bad)
        reference = Reference.of(thresholds, (float(values.min()), 9.0))
        assert reference.scores == 200 and len(reference.levels) == levels
        for level in reference.levels:
            assert level.above == pytest.approx((values > level.score).sum(), abs=2.5)
    assert Reference.of(fit_thresholds(values, values, method="probability"), (0.0, 1.0)) is None


def test_what_a_manifest_remembers_goes_first():
    values = line(np.random.default_rng(4), 200, 0.0)
    remembered = Reference.of_scores(values)
    for method in ("tail", "probability"):
        thresholds = fit_thresholds(values, values, method=method)
        assert Reference.of(thresholds, (float(values.min()), 9.0), remembered) == remembered
    assert Reference.from_json(json.loads(json.dumps(remembered.to_json()))) == remembered


@pytest.mark.parametrize("method", ["tail", "quantile"])
def test_quantiles_find_what_thresholds_tell_and_more(method):
    """Scores that rise, fall, spread and gather: of 60 windows of 500 frames, each against a reference of 100 images of
    its own, more are found changed."""
    random = np.random.default_rng(7)
    shifts = {
        "rise": lambda s: 1.2 * s,
        "fall": lambda s: 0.8 * s,
        "spread": lambda s: s**1.8,
        "gather": lambda s: s**0.6,
    }
    for name, shift in shifts.items():
        found = np.zeros(2)
        for _ in range(60):
            images, now = line(random, 100, 0.0), shift(line(random, 500, 0.0))
            good = now[now < fit_thresholds(images, images).image.value]
            found += [
                least_probable(good, reference)[0] < 1e-4
                for reference in (bundled(images, method), Reference.of_scores(images))
            ]
        assert found[1] >= found[0] and found[1] > 10, (name, found)


def test_quantiles_are_counted_above():
    reference = Reference.of_scores(np.arange(100.0))
    assert [(round(level.score, 2), level.above) for level in reference.levels] == [
        (0, 100), (4.95, 95), (19.8, 80), (49.5, 50), (79.2, 20), (94.05, 5),
    ]  # fmt: skip
    assert [level.above for level in Reference.of_scores(np.ones(9)).levels] == [9, 0]


def test_impossible_numbers_are_refused():
    reference = Reference.of_scores(np.arange(100.0))
    for settings in ({"window": 3}, {"false_alarms": 0}, {"false_alarms": 0.5}):
        with pytest.raises(ValueError, match="false alarms"):
            Scores(reference, **settings)


def test_another_detector_is_compared_with_its_own_reference() -> None:
    """What the window held of the detector before is forgotten, and a change that it had said as well."""
    random = np.random.default_rng(4)
    before, after = random.normal(10, 1, 2000), random.normal(500, 9, 2000)
    one, other = (Reference.of_scores(scores) for scores in (before[:500], after[:500]))

    def said(watch: Scores, scores: np.ndarray) -> int:
        return sum(len(watch.observe(FRAME, result(score))) for score in scores)

    watch = Scores(one, window=100)
    assert said(watch, before[500:590]) == 0
    watch.compare_with(other)
    assert said(watch, after[500:]) == 0
    watch.compare_with(other)  # the same again begins nothing again
    assert said(watch, before[:100]) == 1
    watch.compare_with(None)
    assert said(watch, after) == 0
    watch.compare_with(other)
    assert said(watch, before[:100]) == 1
    assert said(Scores(None), before) == 0
