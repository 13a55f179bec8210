"""An engine is checked by the bundle's own images: sound ones pass, and whatever is exchanged or moved does not."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgead.archive import read_archive, write_archive
from edgead.bands import Bands
from edgead.bundle import Bundle, read_bundle
from edgead.detector import Detector
from edgead.engines import openvino
from edgead.engines.base import Engine
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.openvino import OpenVinoEngine, compile_graph
from edgead.errors import BundleError, EngineError
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.loading import load
from edgead.result import Verdict
from edgead.selftest import TOLERANCE, self_test

MEMBERS = [f"selftest-{kind}-{number}.png" for kind in ("good", "bad") for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def bundle(fp32_bundle: Path) -> Bundle:
    return read_bundle(fp32_bundle)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> bytes:
    return compile_graph(bundle.graph("fp32"))


def checked(bundle: Bundle, engine: bytes):
    with Detector(bundle, OpenVinoEngine(engine, max_batch=8), "fp32") as detector:
        return self_test(detector)


def judging(bundle: Bundle, reject: float) -> Bundle:
    """The bundle with other thresholds."""
    variant = bundle.manifest.variant("fp32")
    warn, image = (Threshold(reject, "quantile", {}) for _ in range(2))
    return bundle.with_variant(
        "fp32", replace(variant, thresholds=Thresholds(image, warn, variant.thresholds.pixel)), {}
    )


def with_member(bundle: Bundle, member: str, content: bytes, tmp_path: Path) -> Bundle:
    """Read from a file, so that everything that is checked on the way is."""
    Bundle(bundle.manifest, {**bundle.members, member: content}).write(tmp_path / "other.edgead")
    return read_bundle(tmp_path / "other.edgead")


def png(image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def test_a_sound_engine_passes_whatever_a_user_has_set(fp32_bundle: Path) -> None:
    with load(fp32_bundle, target="openvino") as detector:
        detector.bands = Bands(judging(detector.bundle, 1e-9).manifest.variant("fp32").thresholds, (0.0, 1.0))
        found = self_test(detector)
        found.require("here")
    assert found.passed and [check.member for check in found.checks] == MEMBERS
    assert [check.verdict is Verdict.REJECT for check in found.checks] == [False] * 3 + [True] * 3
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["passed"] and len(document["images"]) == 6
    assert all(line.startswith("ok ") for line in found.lines())


def test_stored_images_and_scores_are_those_of_a_camera(bundle: Bundle) -> None:
    """Decoded by OpenCV and run by another runtime, each gets the score that is stored."""
    stored = bundle.manifest.variant("fp32").self_test
    assert set(stored) == set(bundle.manifest.self_test.expected) == set(MEMBERS)
    with Detector(bundle, OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=8), "fp32") as detector:
        for member, score in stored.items():
            frame = cv2.imdecode(np.frombuffer(bundle.members[member], np.uint8), cv2.IMREAD_COLOR)
            result = detector(frame)
            assert result.raw_score == pytest.approx(score, rel=1e-5)
            assert bundle.manifest.self_test.expected[member] == ("bad" if result.pred_label else "good")


def exchanged(graph: bytes) -> bytes:
    """The graph with the numbers of every weight in another order."""
    random = np.random.default_rng(0)
    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 64:
            shuffled = random.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(numpy_helper.from_array(shuffled, tensor.name))
    return bytes(model.SerializeToString())


def test_other_weights_fail(bundle: Bundle) -> None:
    found = checked(bundle, compile_graph(exchanged(bundle.graph("fp32"))))
    assert not found.passed
    with pytest.raises(EngineError, match=r"as it should: selftest-.*expected.*line 4, build the engine again"):
        found.require("line 4")


def test_a_threshold_that_moved_fails(bundle: Bundle, engine: bytes) -> None:
    scores = bundle.manifest.variant("fp32").self_test
    above, below = 1.01 * max(scores.values()), 0.99 * min(scores.values())
    for reject, wrong in ((above, MEMBERS[3:]), (below, MEMBERS[:3])):
        found = checked(judging(bundle, float(np.float32(reject))), engine)
        assert [check.member for check in found.checks if not check.judged] == wrong
        assert not found.passed


def test_a_score_may_be_off_by_a_quarter_of_its_way_to_the_threshold(bundle: Bundle, engine: bytes) -> None:
    """With scores of one, three (good) and five, twelve (bad), and the threshold at four: a good image has a quarter of
    one, a bad one a quarter of its own distance, of one at least."""
    kept = {
        "selftest-good-1.png": 1.0,
        "selftest-good-2.png": 3.0,
        "selftest-bad-1.png": 4.5,
        "selftest-bad-2.png": 12.0,
    }
    variant = replace(judging(bundle, 4.0).manifest.variant("fp32"), self_test=kept)
    found = checked(bundle.with_variant("fp32", variant, {}), engine)
    assert [check.tolerance for check in found.checks] == [TOLERANCE * room for room in (1.0, 1.0, 1.0, 8.0)]
    check = found.checks[0]
    for score, passed in ((1.0, True), (1.24, True), (0.76, True), (1.26, False), (0.7, False), (float("nan"), False)):
        assert replace(check, score=score, verdict=Verdict.ACCEPT).passed == passed
    assert not replace(check, score=1.0, verdict=Verdict.REJECT).passed


class Blind(Engine):
    """Gives the stored scores, one after the other, beside a map that is not finite."""

    name = "blind"

    def __init__(self, scores) -> None:
        super().__init__(max_batch=1)
        self._scores = iter(scores)

    def _activate(self) -> None:
        self.size = (64, 64)

    def _deactivate(self) -> None:
        self.size = None

    def _infer(self, image):
        return {"score": np.float32([next(self._scores)]), "anomaly_map": np.full((1, 64, 64), np.nan, np.float32)}


def test_a_map_that_is_no_number_fails(bundle: Bundle) -> None:
    with Detector(bundle, Blind(bundle.manifest.variant("fp32").self_test.values()), "fp32") as detector:
        found = self_test(detector)
    assert not any(check.passed for check in found.checks)
    assert "no finite answer" in found.lines()[0] and found.to_json()["images"][0]["score"] is None


def test_a_bundle_without_images_has_nothing_to_fail(fp32_bundle: Path, engine: bytes, tmp_path: Path) -> None:
    """As older ones were written: nothing of it in the manifest. Read and written, it stays what it was."""
    members = {name: content for name, content in read_archive(fp32_bundle).items() if name not in MEMBERS}
    document = json.loads(members["manifest.json"])
    del document["self_test"], document["variants"]["fp32"]["self_test"], document["variants"]["fp32"]["good_scores"]
    document["members"] = {name: entry for name, entry in document["members"].items() if name not in MEMBERS}
    members["manifest.json"] = json.dumps(document, indent=1, sort_keys=True).encode()
    write_archive(tmp_path / "old.edgead", members)
    old = read_bundle(tmp_path / "old.edgead")
    found = checked(old, engine)
    assert (found.passed, found.images, found.lines()) == (True, 0, [])
    found.require("anywhere")
    old.write(tmp_path / "again.edgead")
    assert (tmp_path / "again.edgead").read_bytes() == (tmp_path / "old.edgead").read_bytes()


def claiming(width: int, height: int) -> bytes:
    """A PNG of 64 x 64 pixels whose header says otherwise, with a correct checksum."""
    content = bytearray(png(np.zeros((64, 64, 3), np.uint8)))
    struct.pack_into(">II", content, 16, width, height)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no PNG"),
        (b"\x89PNG\r\n\x1a\n", "no PNG"),
        (cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes(), "no PNG"),
        (cv2.imencode(".bmp", np.zeros((64, 64, 3), np.uint8))[1].tobytes(), "no PNG"),
        (claiming(30000, 30000), "30000 x 30000 pixels, the graph takes 64 x 64"),
        (claiming(2**31 - 1, 2**31 - 1), "pixels"),
        (png(np.zeros((64, 32, 3), np.uint8)), "64 x 32 pixels"),
        (png(np.zeros((64, 64, 3), np.uint8))[:33] + b"\xff" * 100, "damaged|cannot be decoded"),
    ],
)
def test_a_hostile_image_is_refused(bundle: Bundle, engine: bytes, tmp_path, monkeypatch, content, message) -> None:
    """What claims another size is never decoded."""
    other = with_member(bundle, MEMBERS[0], content, tmp_path)
    if "pixels" in message or "no PNG" in message:
        monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(BundleError, match=message) as refused:
        checked(other, engine)
    assert MEMBERS[0] in str(refused.value)


def test_an_image_that_was_altered_or_taken_out_is_found(fp32_bundle: Path, tmp_path: Path) -> None:
    for content in (None, png(np.zeros((64, 64, 3), np.uint8))):
        members = {**read_archive(fp32_bundle), MEMBERS[3]: content}
        write_archive(tmp_path / "x", {name: inside for name, inside in members.items() if inside is not None})
        with pytest.raises(BundleError, match=r"missing|another size|SHA-256"):
            read_bundle(tmp_path / "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["self_test"]["images"].update({"model.onnx": "good"}), "self_test"),
        (lambda d: d["self_test"]["images"].update({MEMBERS[0]: "fine"}), "self_test"),
        (lambda d: d["self_test"]["images"].pop(MEMBERS[0]), "which is no image of it"),
        (lambda d: d.pop("self_test"), "which is no image of it"),
        (lambda d: d["variants"]["fp32"]["self_test"].update({MEMBERS[0]: 10**400}), "self_test"),
        (lambda d: d["variants"]["fp32"]["self_test"].update({MEMBERS[0]: None}), "self_test"),
        (lambda d: d["variants"]["fp32"]["good_scores"].update(levels=[]), "levels"),
        (lambda d: d["variants"]["fp32"]["good_scores"].update(images=1), "more than all of 1"),
        (lambda d: d["members"].pop(MEMBERS[0]), "not in the manifest"),
    ],
)
def test_what_the_manifest_says_of_it_is_checked(fp32_bundle: Path, tmp_path: Path, change, message) -> None:
    members = read_archive(fp32_bundle)
    document = json.loads(members["manifest.json"])
    change(document)
    write_archive(tmp_path / "x", {**members, "manifest.json": json.dumps(document).encode()})
    with pytest.raises(BundleError, match=message):
        read_bundle(tmp_path / "x")


def test_a_listed_image_has_to_be_there(fp32_bundle: Path, tmp_path: Path) -> None:
    members = read_archive(fp32_bundle)
    document = json.loads(members["manifest.json"])
    del members[MEMBERS[0]], document["members"][MEMBERS[0]]
    write_archive(tmp_path / "x", {**members, "manifest.json": json.dumps(document).encode()})
    with pytest.raises(BundleError, match="an image of the self-test is missing"):
        read_bundle(tmp_path / "x")


def test_doctor_runs_it_and_inspect_lists_it(edgead, fp32_bundle: Path, bundle: Bundle, tmp_path: Path) -> None:
    said = edgead("doctor", fp32_bundle, "--target", "openvino")
    assert "fp32 on openvino: 6 of 6 images as expected" in said
    assert json.loads(edgead("doctor", fp32_bundle, "--json"))["self_test"]["passed"] is True
    listed = edgead("inspect", fp32_bundle)
    assert all(member in listed for member in MEMBERS) and "Self-test (defects are painted)" in listed
    moved = judging(bundle, float(np.float32(2 * max(bundle.manifest.variant("fp32").self_test.values()))))
    moved.write(tmp_path / "moved.edgead")
    assert "WRONG  selftest-bad-1.png: accept" in edgead("doctor", tmp_path / "moved.edgead", code=1)


def test_an_engine_that_is_built_on_loading_is_tried_first_and_not_kept_where_it_fails(
    fp32_bundle: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    right = openvino.compile_graph
    wrong = right(exchanged(bundle.graph("fp32")))
    monkeypatch.setattr(openvino, "compile_graph", lambda graph: wrong)
    for _ in range(2):
        with pytest.raises(EngineError, match="does not judge the bundle's own images"):
            load(fp32_bundle, target="openvino")
        assert not list(tmp_path.glob("*.engine"))
    monkeypatch.setattr(openvino, "compile_graph", right)
    with load(fp32_bundle, target="openvino") as detector:
        assert self_test(detector).passed and list(tmp_path.glob("*.engine"))
