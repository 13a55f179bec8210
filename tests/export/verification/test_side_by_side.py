"""Two running detectors on the same images: one in two ways, and two that have nothing in common but the parts."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest

from edgead.bundle import Bundle, read_bundle
from edgead.calibration.images import assign_roles
from edgead.data.images import read_mask
from edgead.data.layout import read_dataset
from edgead.data.loading import load_images
from edgead.detector import Detector
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import GateRefused
from edgead.evaluation.thresholds import Thresholds
from edgead.export.verification.side_by_side import side_by_side
from edgead.result import Verdict
from tests.other_detector import HEIGHT, WIDTH, other_detector


@contextmanager
def running(bundle):
    engine = OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=8)
    with Detector(bundle, engine, "fp32") as detector:
        yield detector


def beside(first, second, dataset):
    with running(first) as judged, running(second) as reference:
        return side_by_side(judged, reference, dataset, bundles=("first.edgead", "second.edgead"))


def with_thresholds(bundle, change):
    """The bundle with each threshold's value changed."""
    variant = bundle.manifest.variant("fp32")
    found = variant.thresholds
    changed = [
        replace(one, value=float(np.float32(change(one.value)))) for one in (found.image, found.warn, found.pixel)
    ]
    return bundle.with_variant("fp32", replace(variant, thresholds=Thresholds(*changed)), {})


def scaled(bundle, factor):
    """The detector whose score and map are `factor` times as large, and its thresholds too."""
    model = onnx.load_from_string(bundle.graph("fp32"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(factor, np.float32), "factor"))
    for output in ("score", "anomaly_map"):
        for node in model.graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == output:
                        names[place] = f"{output}_before"
        model.graph.node.append(onnx.helper.make_node("Mul", [f"{output}_before", "factor"], [output]))
    members = {**bundle.members, bundle.manifest.variant("fp32").member: model.SerializeToString()}
    return with_thresholds(Bundle(bundle.manifest, members), lambda value: value * factor if factor < np.inf else value)


@pytest.fixture(scope="module")
def bundle(fp32_bundle):
    return read_bundle(fp32_bundle)


@pytest.fixture(scope="module")
def dataset(parts):
    return read_dataset(parts)


@pytest.fixture(scope="module")
def other(parts):
    return read_bundle(other_detector(parts))


def test_a_detector_beside_itself_differs_in_nothing(bundle, dataset):
    found = beside(bundle, bundle, dataset)
    assert found.alike and found.changed == [] and found.seen == 0 and found.notes == []
    assert found.comparison.map_error == found.comparison.score_error == 0 and set(found.comparison.pyramid) == {0}
    assert (found.crossed() == np.diag(found.crossed().diagonal())).all() and found.crossed().sum() == 16
    assert [sample.name for sample in found.samples] == list(found.names)


def test_each_side_judges_by_the_thresholds_in_its_bundle(bundle, dataset):
    strict = with_thresholds(bundle, lambda value: value * 1e-3)
    found = beside(strict, bundle, dataset)
    assert found.alike and found.comparison.map_error == 0
    assert set(found.judged.measured.verdicts) == {Verdict.REJECT}
    before = found.reference.measured.verdicts
    with running(bundle) as detector:
        for name, sample, verdict in zip(found.names, found.samples, before, strict=True):
            result = detector(cv2.imread(str(sample.path)))
            assert (name, result.verdict) == (sample.name, verdict)
    good = before.count(Verdict.ACCEPT) + before.count(Verdict.WARN)
    assert found.comparison.changed_verdicts == good > 0
    assert {found.names[index] for index in found.changed} == {
        name for name, verdict in zip(found.names, before, strict=True) if verdict is not Verdict.REJECT
    }


def test_the_document_names_both_and_every_change(bundle, dataset):
    strict = with_thresholds(bundle, lambda value: value * 1e-3)
    document = beside(strict, bundle, dataset).to_json()
    judged, reference = document["sides"]["judged"], document["sides"]["reference"]
    assert (judged["bundle"], judged["digest"], judged["input"]) == ("first.edgead", strict.digest, [64, 64])
    assert (reference["digest"], reference["precision"], reference["target"]) == (bundle.digest, "fp32", "onnxruntime")
    assert sum(sum(row.values()) for row in document["verdicts"].values()) == document["images"] == 16
    moved = sum(
        count for before, row in document["verdicts"].items() for after, count in row.items() if before != after
    )
    assert moved == len(document["changes"]) == document["changed_verdicts"]
    for change in document["changes"]:
        assert change["judged"]["verdict"] == "reject" != change["reference"]["verdict"]
        assert change["judged"]["score"] == change["reference"]["score"]


def test_another_unit_makes_another_detector_that_judges_as_well(bundle, dataset):
    found = beside(scaled(bundle, 4.0), bundle, dataset)
    assert not found.alike and "two detectors" in found.notes[0]
    comparison = found.comparison
    assert comparison.map_error is comparison.score_error is comparison.largest_map_error is None
    assert found.to_json()["map_error"] is None and comparison.pyramid == ()
    assert comparison.metrics == comparison.reference and comparison.rank_correlation == pytest.approx(1)
    assert found.changed == []
    np.testing.assert_array_equal(found.judged.measured.answers.scores, 4 * found.reference.measured.answers.scores)


def test_a_detector_of_another_size_sees_the_images_at_its_own(bundle, other, dataset):
    found = beside(bundle, other, dataset)
    assert not found.alike and found.judged.held.names == found.reference.held.names
    for side, size in ((found.judged, (64, 64)), (found.reference, (HEIGHT, WIDTH))):
        assert (side.held.images == load_images(found.samples, *size)).all()
        assert side.measured.answers.maps.shape == (16, *size)
        for sample, mask in zip(found.samples, side.held.masks, strict=True):
            assert (mask == (read_mask(sample.mask, *size) if sample.mask else False)).all()


def test_painted_defects_are_the_same_at_every_size(bundle, other, parts):
    dataset = read_dataset(parts / "train/good")
    found = beside(bundle, other, dataset)
    ours, theirs = found.judged.held, found.reference.held
    assert found.comparison.painted and theirs.names == ours.names
    plain = load_images(found.samples, HEIGHT, WIDTH)
    good = ours.good.stop
    assert (theirs.images[:good] == plain[:good]).all() and not theirs.masks[:good].any()
    for row in range(good, len(ours.names)):
        # Where there is a defect at one size, there is one at the other, and nowhere else.
        area = cv2.resize(ours.masks[row].astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        near = cv2.dilate(area, np.ones((7, 7))) > 0
        change = np.abs(theirs.images[row].astype(int) - plain[row]).max(axis=2)
        assert change[~near].max(initial=0) <= 12 and change[area == 1].min(initial=255) >= 1
        assert not theirs.masks[row][~near].any()
        sizes = area.sum(), np.count_nonzero(theirs.masks[row])
        assert sizes[1] == pytest.approx(sizes[0], abs=4 + 0.3 * float(sizes[0]))


def test_good_images_that_the_reference_may_have_learned_are_counted(bundle, other, dataset, parts):
    assert beside(bundle, other, dataset).seen == 0  # test images are nobody's
    alone = read_dataset(parts / "train/good")
    found = beside(bundle, other, alone)
    roles = [assign_roles(alone, side.manifest) for side in (bundle, other)]
    shared = {sample.name for sample in roles[0].validation} & {sample.name for sample in roles[1].calibration}
    assert found.seen == len(shared) > 0 and any("it has seen them" in note for note in found.notes)
    assert beside(bundle, scaled(bundle, 2.0), alone).seen == 0  # another detector of the same split


def test_a_side_that_gives_no_numbers_is_named(bundle, dataset):
    with pytest.raises(GateRefused, match=r"second\.edgead, fp32 on onnxruntime, gives values that are not numbers"):
        beside(bundle, scaled(bundle, np.inf), dataset)
