"""What an engine is compared by, and engines held against the fp32 graph of their bundle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from sklearn.metrics import roc_auc_score

from edgead.bundle import read_bundle
from edgead.calibration.images import assign_roles
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import GateRefused
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.export.verification.answers import Answers, run_all
from edgead.export.verification.comparison import changed, compare, measure
from edgead.export.verification.held_out import HeldOut
from edgead.export.verification.verifier import Verifier, usual_threshold
from edgead.loading import load
from edgead.result import Verdict


def thresholds(reject, warn=None):
    made = [Threshold(value, "quantile", {}) for value in (reject, reject if warn is None else warn, reject)]
    return Thresholds(*made)


def samples(good, bad, side=4):
    """So many held-out images of nothing, named by what they are; the left half of the bad ones is defective."""
    anomalous = np.arange(good + bad) >= good
    names = tuple(f"{'hole' if is_bad else 'good'}/{index}.png" for index, is_bad in enumerate(anomalous))
    masks = np.zeros((good + bad, side, side), bool)
    masks[good:, :, : side // 2] = True
    images = np.zeros((good + bad, side, side, 3), np.uint8)
    return HeldOut(names, images, anomalous, masks, np.ones(good + bad, bool), painted=False)


def answers(scores, side=4):
    scores = np.asarray(scores, np.float32)
    return Answers(scores, np.repeat(scores, side * side).reshape(-1, side, side))


def judged(reference, engine, held, limits=(0.5, 0.5), **how):
    """A comparison of two lists of scores, each with maps of its score everywhere."""
    sides = [
        measure(held, answers(scores), limit if isinstance(limit, Thresholds) else thresholds(limit))
        for scores, limit in zip((reference, engine), limits, strict=True)
    ]
    return compare(held, *sides, target="x", emulated=False, **how)


def test_an_equal_engine_differs_in_nothing():
    scores = [0.1, 0.2, 0.3, 0.8, 0.9]
    found = judged(scores, scores, samples(3, 2))
    assert (found.map_error, found.largest_map_error, found.score_error, found.changed_verdicts) == (0, 0, 0, 0)
    assert found.pyramid == (0, 0) and found.changed == () and found.rank_correlation == pytest.approx(1)
    assert (found.good, found.bad, found.images) == (3, 2, 5)
    assert set(found.falls().values()) == {0}


def test_metrics_are_scikit_learns_and_falls_are_their_differences():
    random = np.random.default_rng(0)
    held = samples(30, 20)
    reference, engine = random.random((2, 50)) + held.anomalous * 0.3
    found = judged(reference, engine, held)
    truth, pixels = held.anomalous, held.masks.ravel()
    for metrics, scores in ((found.reference, reference), (found.metrics, engine)):
        assert metrics.image_auroc == pytest.approx(roc_auc_score(truth, scores))
        assert metrics.pixel_auroc == pytest.approx(roc_auc_score(pixels, np.repeat(scores, 16)))
    fall = roc_auc_score(truth, reference) - roc_auc_score(truth, engine)
    assert found.falls()["image_auroc"] == pytest.approx(fall)
    assert found.to_json()["reference"]["image_auroc"] == found.reference.image_auroc


def test_pixels_are_measured_where_masks_are_known():
    held = samples(2, 2)
    unmasked = replace(held, masked=np.array([True, True, True, False]))
    maps = np.where(held.masks, 2, 1).astype(np.float32)
    maps[3] = 9 * held.masks[3, :, ::-1]  # wrong, where nobody knows
    seen = measure(unmasked, Answers(np.arange(4, dtype=np.float32), maps), thresholds(2))
    assert seen.metrics.pixel_auroc == seen.metrics.aupro == 1
    assert measure(held, seen.answers, thresholds(2)).metrics.pixel_auroc < 1
    none = measure(replace(held, masks=np.zeros_like(held.masks)), seen.answers, thresholds(2)).metrics
    assert none.image_auroc == 1 and none.pixel_auroc is None and none.aupro is None


def test_without_bad_parts_order_and_verdicts_are_left():
    found = judged([0.1, 0.2, 0.6], [0.2, 0.1, 0.6], samples(3, 0))
    assert found.falls() == {} and found.rank_correlation == pytest.approx(0.5) and found.map_error > 0


def test_verdicts_are_judged_each_by_its_own_thresholds_and_the_largest_change_is_first():
    found = judged([0.1, 0.2, 0.9, 0.8], [1, 2, 9, 4], samples(2, 2), (0.5, 5))
    assert found.changed == ("hole/3.png",) and found.changed_verdicts == 1
    # Of the same scores, another threshold alone changes verdicts.
    found = judged([0.1, 0.55, 0.9, 0.6], [0.1, 0.55, 0.3, 0.6], samples(2, 2), (0.5, 0.65))
    assert found.changed == ("hole/2.png", "good/1.png", "hole/3.png")


def test_verdicts_are_those_of_a_running_detector_and_rejections_change_first():
    held = samples(4, 2)
    limits = thresholds(0.5, warn=0.3)
    sides = [
        measure(held, answers(scores), limits)
        for scores in ([0.1, 0.1, 0.4, 0.3, 0.5, 0.6], [0.1, 0.45, 0.1, 0.3, 0.49, 0.6])
    ]
    accept, warn, reject = Verdict.ACCEPT, Verdict.WARN, Verdict.REJECT
    assert sides[0].verdicts == (accept, accept, warn, warn, reject, reject)
    assert sides[1].verdicts == (accept, warn, accept, warn, warn, reject)
    assert changed(*sides) == [4, 1, 2]
    assert compare(held, *sides, target="x", emulated=False).changed == ("hole/4.png",)


def test_two_detectors_are_not_compared_in_units():
    scores, others = [0.1, 0.2, 0.4, 0.6, 0.9], [-500, -300, -90, 20, -104]
    found = judged(scores, others, samples(3, 2), (0.5, -100), alike=False)
    assert found.map_error is found.largest_map_error is found.score_error is None and found.pyramid == ()
    assert found.changed == ("hole/4.png", "good/2.png")
    assert found.metrics.image_auroc == pytest.approx(5 / 6) and found.rank_correlation == pytest.approx(1)
    # As multiples of its own spread, each side's change counts: a unit of its own changes no order.
    again = judged(scores, [1000 * score for score in others], samples(3, 2), (0.5, -1e5), alike=False)
    assert again.changed == found.changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_engine_that_gives_no_numbers_is_refused_with_the_image(value):
    with pytest.raises(GateRefused, match=r"part int8 gives values that are not numbers, hole/1\.png") as refusal:
        measure(samples(1, 2), answers([0.1, value, 0.2]), thresholds(0.5), "part int8")
    assert refusal.value.exit_code == 3
    maps = answers([0.1, 0.2, 0.3])
    maps.maps[2, 0, 0] = value
    with pytest.raises(GateRefused, match=r"hole/2\.png"):
        measure(samples(1, 2), maps, thresholds(0.5))


def test_batches_cover_every_image_once():
    seen, told = [], []

    def predict(batch):
        seen.append(len(batch))
        values = batch.reshape(len(batch), -1).mean(axis=1).astype(np.float32)
        return {"score": values, "anomaly_map": np.broadcast_to(values[:, None, None], (len(batch), 2, 2))}

    images = np.arange(11, dtype=np.uint8).reshape(11, 1, 1, 1)
    got = run_all(predict, images, 4, lambda *step: told.append(step), "looking")
    assert seen == [4, 4, 3] and told[-1] == ("looking", 11, 11)
    assert got.scores.tolist() == list(range(11)) and got.maps.shape == (11, 2, 2)
    assert got[4:6].scores.tolist() == [4, 5]


@pytest.fixture(scope="module")
def bundle(fp32_bundle):
    return read_bundle(fp32_bundle)


@pytest.fixture(scope="module")
def verifier(bundle, parts):
    return Verifier(bundle, assign_roles(read_dataset(parts), bundle.manifest))


def test_the_reference_is_the_fp32_graph_as_it_stands(verifier, bundle, parts):
    session = onnxruntime.InferenceSession(bundle.graph("fp32"), providers=["CPUExecutionProvider"])
    named = {sample.name: sample for sample in read_dataset(parts).test}
    images = load_images([named[name] for name in verifier.held.names], 64, 64)
    scores = np.concatenate([session.run(["score"], {"image": image[None]})[0] for image in images])
    np.testing.assert_allclose(verifier.reference.answers.scores, scores, rtol=1e-4)
    assert verifier.reference.thresholds == bundle.manifest.variant("fp32").thresholds
    assert verifier.reference.metrics.image_auroc == pytest.approx(roc_auc_score(verifier.held.anomalous, scores))


def test_the_graph_itself_is_off_by_nothing_and_finds_the_exported_thresholds_again(verifier, bundle):
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=8) as engine:
        verified = verifier.verify(engine)
    exported = bundle.manifest.variant("fp32")
    assert verified.measured.thresholds == exported.thresholds and verified.score_range == exported.score_range
    assert verified.comparison.map_error == verified.comparison.changed_verdicts == 0
    variant = verified.variant("fp32")
    assert variant.metrics["images"] == 16 and variant.verification["map_error"] == 0
    assert variant.metrics["image_auroc"] == verifier.reference.metrics.image_auroc


def test_another_runtime_is_off_by_rounding_alone(verifier, bundle, fp32_bundle):
    with load(fp32_bundle, target="openvino", precision="fp32") as detector:
        found = verifier.verify(detector.engine, emulated=True).comparison
        verifier.check_runtime(detector.engine, bundle.graph("fp32"))
    assert found.target == "openvino" and found.emulated and found.changed_verdicts == 0
    assert 0 <= found.map_error < 0.05 and found.rank_correlation > 0.95


def test_painted_defects_measure_the_comparison_and_not_the_detector(bundle, parts):
    roles = assign_roles(read_dataset(parts / "train/good"), bundle.manifest)
    painted = Verifier(bundle, roles)
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=8) as engine:
        verified = painted.verify(engine)
    assert verified.comparison.painted and verified.comparison.bad == len(roles.validation)
    assert verified.comparison.metrics.image_auroc is not None and verified.variant("fp32").metrics is None


def test_thresholds_are_fitted_as_the_exported_ones_were(bundle):
    def method(image, warn, **detail):
        warned = Threshold(0.4, warn, detail)
        limits = Thresholds(Threshold(0.5, image, detail), warned, warned)
        variant = replace(bundle.manifest.variant("fp32"), thresholds=limits)
        return usual_threshold(replace(bundle.manifest, variants={"fp32": variant}))

    assert method("tail", "tail") == method("f1", "tail") == "tail"
    assert method("quantile", "quantile") == method("f1", "quantile+margin") == "quantile"
    assert method("quantile", "quantile", no_tail="too few scores") == "tail"
    assert method("probability", "tail") == "probability"
