"""Which images a bundle keeps to check engines by, and what each precision says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.bundle import Bundle, read_bundle
from edgead.calibration.images import assign_roles
from edgead.calibration.quantize import quantize
from edgead.data.layout import read_dataset, split_validation
from edgead.data.loading import load_images
from edgead.detector import Detector
from edgead.drift import Reference
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.openvino import OpenVinoEngine, compile_graph
from edgead.export.known_images import CLEAR, choose_known, described
from edgead.export.package import Origin, make_bundle, thresholds_of
from edgead.export.verification.answers import Answers, run_all
from edgead.export.verification.verifier import Verifier
from edgead.manifest import SelfTestImages
from edgead.selftest import self_test
from edgead.training.run import load_model, origin, read_run
from tests.export.test_broken_quantisation import ACTIVATIONS, WEIGHTS, broken, layers

NOTHING = np.empty((0, 8, 8, 3), np.uint8)
GOOD = [f"selftest-good-{number}.png" for number in (1, 2, 3)]
BAD = [f"selftest-bad-{number}.png" for number in (1, 2, 3)]


def brightest(images):
    """A graph: the score is the brightest value."""
    maps = images.max(axis=3).astype(np.float32)
    return {"score": maps.max(axis=(1, 2)), "anomaly_map": maps}


def chosen(values, bad=NOTHING, predict=brightest, **more):
    """From good images each of one gray value."""
    images = np.stack([np.full((8, 8, 3), value, np.uint8) for value in values])
    answers = run_all(predict, images, 4)
    return choose_known(predict, images, answers, thresholds_of(answers, "quantile"), batch=4, bad=bad, **more)


def decoded(content: bytes):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_good_ones_are_the_most_usual_and_bad_ones_the_clearest() -> None:
    """Of 100, 104, ... 180 the median is 140; the reject threshold is 184: only from 204 on a bad one is clearly so."""
    values = range(100, 181, 4)
    bad = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (190, 206, 250, 230, 203, 240)])
    known = chosen(values, bad)
    assert known.scores == dict(zip(GOOD + BAD, (140.0, 136.0, 144.0, 250.0, 240.0, 230.0), strict=True))
    for member, image in known.members.items():
        np.testing.assert_array_equal(decoded(image), np.full((8, 8, 3), known.scores[member], np.uint8))
    assert known.images == SelfTestImages({**dict.fromkeys(GOOD, "good"), **dict.fromkeys(BAD, "bad")})
    fewer = chosen(values, bad[[0, 1, 4]])
    reject = thresholds_of(Answers(np.float32(values), np.float32(values)[:, None, None]), "quantile").image.value
    assert reject + CLEAR * (reject - 144) == pytest.approx(204, abs=1)
    assert list(fewer.scores) == [*GOOD, BAD[0]] and fewer.images.note == ""


def test_painted_defects_stand_in_and_are_the_same_for_a_seed() -> None:
    """Of black images, whatever is painted on them, or the last resort, a white spot, is far brighter."""
    known, again, other = (chosen([0, 1, 2, 3, 4], seed=seed) for seed in (1, 1, 2))
    assert known == again
    assert known.images.painted and known.images.expected[BAD[0]] == "bad" and known.scores[BAD[0]] > 20
    assert [known.members[name] for name in BAD] != [other.members.get(name) for name in BAD]
    assert [known.members[name] for name in GOOD] == [other.members[name] for name in GOOD]


def test_a_detector_that_rejects_no_defect_gets_no_expectation_of_it(fp32_bundle: Path) -> None:
    def blind(images):
        return {"score": np.ones(len(images), np.float32), "anomaly_map": np.ones((len(images), 8, 8), np.float32)}

    for bad, kind in ((NOTHING, "painted"), (np.zeros((2, 8, 8, 3), np.uint8), "labelled")):
        known = chosen([10, 20], bad, blind)
        assert list(known.scores) == GOOD[:2] and set(known.images.expected.values()) == {"good"}
        assert f"{kind} defects is rejected clearly" in known.images.note and not known.images.painted
        variant = replace(read_bundle(fp32_bundle).manifest.variant("fp32"), self_test=known.scores)
        said = described(known.images, variant)
        assert "2 images of good parts and 0 bad ones" in said and "cannot check at its start that bad parts" in said
    assert "no images are stored" in described(None, variant)


def test_where_no_good_image_is_accepted_nothing_is_kept() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    answers = Answers(np.float32([5, 6]), np.ones((2, 8, 8), np.float32))
    low = thresholds_of(Answers(np.float32([1, 2]), np.ones((2, 8, 8), np.float32)), "quantile")
    known = choose_known(brightest, images, answers, low, batch=2, bad=NOTHING)
    assert not known.members and not known.images.expected and "accepted" in known.images.note


def test_it_can_be_left_out_and_real_defects_are_taken(run: Path, parts: Path, edgead, tmp_path: Path) -> None:
    model, record = load_model(run), read_run(run)
    dataset = read_dataset(parts)
    good, bad = split_validation(dataset.train, 0.2, 0)[1], [sample for sample in dataset.test if sample.anomalous]
    made = make_bundle(model, Origin(**origin(record)), good, height=64, width=64, self_test=False)
    assert made.manifest.self_test is None and not made.manifest.variant("fp32").self_test
    assert not [name for name in made.members if name.startswith("selftest")]
    path = tmp_path / "part.edgead"
    said = edgead("export", run, "-o", path, "--labelled", parts, "--threshold", "quantile")
    assert "self-test: 3 images of good parts and 3 bad ones" in said
    made = read_bundle(path)
    assert made.manifest.variant("fp32").thresholds.image.method == "quantile+margin"
    assert not made.manifest.self_test.painted
    photos = [image.tobytes() for image in load_images(bad, 64, 64)]
    assert all(decoded(made.members[name]).tobytes() in photos for name in BAD)


@pytest.fixture(scope="module")
def verifier(fp32_bundle: Path, parts: Path) -> Verifier:
    bundle = read_bundle(fp32_bundle)
    return Verifier(bundle, assign_roles(read_dataset(parts), bundle.manifest))


@pytest.fixture(scope="module")
def int8(fp32_bundle: Path, parts: Path, verifier: Verifier) -> Bundle:
    """The bundle with an INT8 graph that was verified as build-engine does it."""
    bundle = read_bundle(fp32_bundle)
    graph = quantize(bundle.graph("fp32"), load_images(read_dataset(parts).train, 64, 64))
    with OpenVinoEngine(compile_graph(graph), max_batch=8) as engine:
        verified = verifier.verify(engine)
    return bundle.with_variant("int8", verified.variant("int8"), {"model.int8.onnx": graph})


def checked(bundle: Bundle, graph: bytes):
    with Detector(bundle, OpenVinoEngine(compile_graph(graph), max_batch=8), "int8") as detector:
        return self_test(detector)


def test_each_precision_has_scores_of_its_own(int8: Bundle, parts: Path, tmp_path: Path) -> None:
    int8.write(tmp_path / "part.edgead")
    read = read_bundle(tmp_path / "part.edgead")
    exact, coarse = (read.manifest.variant(precision) for precision in ("fp32", "int8"))
    assert set(exact.self_test) == {*GOOD, *BAD} and set(coarse.self_test) == set(exact.self_test)
    assert dict(exact.self_test) != dict(coarse.self_test)
    found = checked(read, read.graph("int8"))
    assert found.passed and max(abs(check.score - check.stored) / check.tolerance for check in found.checks) < 0.1
    held_out = load_images(split_validation(read_dataset(parts).train, 0.2, 0)[1], 64, 64)
    with OnnxRuntimeEngine(read.graph("fp32"), max_batch=8) as engine:
        expected = Reference.of_scores(engine.infer(held_out)["score"])
    assert exact.good_scores is not None and exact.good_scores.scores == coarse.good_scores.scores == len(held_out)
    for level, wanted in zip(exact.good_scores.levels, expected.levels, strict=True):
        assert (level.score, level.above) == pytest.approx((wanted.score, wanted.above), rel=1e-5)


@pytest.mark.parametrize("which", [ACTIVATIONS, WEIGHTS], ids=["activations", "weights"])
def test_a_scale_times_eight_fails(int8: Bundle, which: int) -> None:
    """In the first, the middle and the last layer."""
    graph = int8.graph("int8")
    names = [layer.name for layer in layers(graph)]
    for name in (names[0], names[len(names) // 2], names[-1]):
        assert not checked(int8, broken(graph, name, which)).passed, name


def test_an_image_that_a_precision_judges_otherwise_is_not_expected_of_it(int8: Bundle, verifier: Verifier) -> None:
    """An engine that sees nothing but black: no bad image stays."""

    class Dark(OnnxRuntimeEngine):
        def _infer(self, image):
            return super()._infer(np.zeros_like(image))

    with Dark(int8.graph("fp32"), max_batch=8) as engine:
        variant = verifier.verify(engine).variant("fp32")
    assert list(variant.self_test) == GOOD
    assert "3 others get another verdict in this precision" in described(int8.manifest.self_test, variant)
