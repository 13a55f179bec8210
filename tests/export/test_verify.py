"""The gate: what it compares, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgead.data.layout import Sample, read_dataset
from edgead.errors import GateRefused
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.export.verify import Answers, check_gate, compare, run_all


def thresholds(reject: float) -> Thresholds:
    value = Threshold(reject, "quantile", {})
    return Thresholds(value, value, value)


def samples(good: int, bad: int) -> list[Sample]:
    defects = ["good"] * good + ["hole"] * bad
    return [Sample(Path(f"{i}.png"), f"{d}/{i}.png", "part", d, None) for i, d in enumerate(defects)]


def answers(scores) -> Answers:
    scores = np.asarray(scores, np.float32)
    return Answers(scores, np.repeat(scores, 16).reshape(-1, 4, 4))


def judged(reference, engine, parts, limits=(0.5, 0.5)):
    return compare(parts, answers(reference), answers(engine), *map(thresholds, limits), target="x", emulated=False)


def test_an_equal_engine_passes_with_no_difference():
    scores = [0.1, 0.2, 0.3, 0.8, 0.9]
    comparison = check_gate(judged(scores, scores, samples(3, 2)), 0.0, "engine")
    assert (comparison.map_error, comparison.score_error, comparison.changed_verdicts) == (0, 0, 0)
    assert comparison.image_auroc == comparison.image_auroc_fp32 == 1.0
    assert comparison.max_drop == 0.0


def test_errors_are_shares_of_the_largest_value_and_auroc_is_measured():
    comparison = judged([0.1, 0.2, 0.4, 0.8], [0.1, 0.6, 0.4, 0.8], samples(2, 2))
    assert comparison.map_error == comparison.score_error == pytest.approx(0.5)
    assert comparison.image_auroc == pytest.approx(0.75)
    assert comparison.image_auroc_fp32 == 1.0


def test_changed_verdicts_are_judged_each_by_its_own_threshold():
    comparison = judged([0.1, 0.2, 0.9, 0.8], [1, 2, 9, 4], samples(2, 2), (0.5, 5))
    assert comparison.changed == ("hole/3.png",)


def test_a_lost_auroc_is_refused_with_the_worst_images_named():
    comparison = judged([0.1, 0.2, 0.8, 0.9], [0.1, 0.7, 0.3, 0.9], samples(2, 2))
    with pytest.raises(GateRefused, match=r"AUROC falls from 1.0000 to 0.7500.*hole/2\.png|good/1\.png") as refusal:
        check_gate(comparison, 0.01, "part.edgead int8")
    assert refusal.value.exit_code == 3
    check_gate(comparison, 0.25, "part.edgead int8")


def test_a_better_engine_is_not_refused():
    check_gate(judged([0.1, 0.7, 0.3, 0.9], [0.1, 0.2, 0.8, 0.9], samples(2, 2)), 0.0, "engine")


def test_unlabelled_images_count_by_verdict():
    reference, engine = np.full(100, 0.1), np.full(100, 0.1)
    engine[:2] = 0.9
    comparison = judged(reference, engine, samples(100, 0))
    assert comparison.image_auroc is None
    check_gate(comparison, 0.02, "engine")
    with pytest.raises(GateRefused, match="2 of 100 verdicts"):
        check_gate(comparison, 0.01, "engine")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_engine_that_gives_no_numbers_is_refused(value):
    with pytest.raises(GateRefused, match="not numbers"):
        judged([0.1, 0.9], [0.1, value], samples(1, 1))


def test_pixels_are_measured_where_masks_are(parts):
    test = read_dataset(parts).test
    random = np.random.default_rng(0)
    maps = random.random((len(test), 64, 64)).astype(np.float32)
    same = Answers(maps.max(axis=(1, 2)), maps)
    comparison = compare(test, same, same, thresholds(0.5), thresholds(0.5), target="x", emulated=True)
    assert comparison.pixel_auroc == comparison.pixel_auroc_fp32 == pytest.approx(0.5, abs=0.02)
    noisy = Answers(same.scores, 1 - maps)
    worse = compare(test, same, noisy, thresholds(0.5), thresholds(0.5), target="x", emulated=True)
    assert worse.pixel_auroc == pytest.approx(1 - comparison.pixel_auroc, abs=1e-4)


def test_batches_cover_every_image_once():
    seen = []

    def predict(batch):
        seen.append(len(batch))
        values = batch.reshape(len(batch), -1).mean(axis=1).astype(np.float32)
        return {"score": values, "anomaly_map": np.broadcast_to(values[:, None, None], (len(batch), 2, 2))}

    images = np.arange(11, dtype=np.uint8).reshape(11, 1, 1, 1)
    got = run_all(predict, images, 4)
    assert seen == [4, 4, 3]
    assert got.scores.tolist() == list(range(11))
    assert got.maps.shape == (11, 2, 2)
