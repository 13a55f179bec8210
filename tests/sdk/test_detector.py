"""Frames in, results out: what a verdict means, and what is never judged."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import edgead
from edgead.bundle import read_bundle
from edgead.data.images import read_image
from edgead.data.layout import read_dataset
from edgead.detector import Detector
from edgead.engines import cache
from edgead.engines.base import Engine
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.openvino import OpenVinoEngine, compile_graph
from edgead.errors import FrameError
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.frame import Frame
from edgead.kernels import resize
from edgead.loading import engine_key
from edgead.regions import find_regions
from edgead.result import Verdict


@pytest.fixture(scope="module")
def detector(fp32_bundle):
    with edgead.load(fp32_bundle, target="openvino") as loaded:
        yield loaded


def test_a_bgr_frame_gets_the_graphs_own_answer(detector, parts, fp32_bundle):
    path = read_dataset(parts).test[0].path
    result = detector(cv2.imread(str(path)))
    with OnnxRuntimeEngine(read_bundle(fp32_bundle).graph("fp32"), max_batch=1) as engine:
        expected = engine.infer(resize(read_image(path), 64, 64)[None])
    assert result.raw_score == pytest.approx(float(expected["score"][0]), rel=1e-4)
    np.testing.assert_allclose(result.anomaly_map, expected["anomaly_map"][0], rtol=1e-3, atol=1e-7)


def test_good_and_bad_parts_get_their_verdicts(run, parts, tmp_path):
    """With a threshold from labelled defects, far from good and bad: one from the five good images that were held out
    would depend on the last bits of the processor."""
    from edgead.cli.export import export_command

    path = tmp_path / "labelled.edgead"
    export_command.main([str(run), "-o", str(path), "--labelled", str(parts)], standalone_mode=False)
    with edgead.load(path) as detector:
        wrong = [
            sample.name
            for sample in read_dataset(parts).test
            if sample.anomalous != (detector(cv2.imread(str(sample.path))).verdict is Verdict.REJECT)
        ]
    assert not wrong


def test_a_spot_is_found_where_it_is(detector, parts):
    for sample in (s for s in read_dataset(parts).test if s.anomalous):
        result = detector(cv2.imread(str(sample.path)))
        mask = cv2.imread(str(sample.mask), cv2.IMREAD_GRAYSCALE) > 127
        centre = np.argwhere(mask).mean(axis=0)
        x, y, width, height = result.regions[0].box
        assert y - 6 <= centre[0] <= y + height + 6 and x - 6 <= centre[1] <= x + width + 6


@pytest.mark.parametrize("shape", [(64, 64, 3), (480, 640, 3), (1080, 1920, 3), (31, 17, 3), (200, 200), (200, 200, 1)])
def test_frames_of_any_size_are_taken(detector, shape):
    frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    result = detector(frame)
    assert result.anomaly_map.shape == result.pred_mask.shape == (64, 64)
    for region in result.regions:
        x, y, width, height = region.box
        assert x >= 0 and y >= 0 and x + width <= shape[1] and y + height <= shape[0]


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((64, 64, 3), np.float32),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros((2, 64, 64, 3), np.uint8),
        None,
        "photo.png",
    ],
)
def test_anything_else_is_a_frame_error(detector, frame):
    with pytest.raises(FrameError):
        detector(frame)


class Fixed(Engine):
    """Answers with one score, whatever it sees."""

    name = "fixed"

    def __init__(self, score: float) -> None:
        super().__init__(max_batch=1)
        self.score = score

    def _activate(self) -> None:
        self.size = (64, 64)

    def _deactivate(self) -> None:
        self.size = None

    def _infer(self, image):
        return {"score": np.float32([self.score]), "anomaly_map": np.full((1, 64, 64), self.score, np.float32)}


def judged(fp32_bundle, score):
    with Detector(read_bundle(fp32_bundle), Fixed(score), "fp32") as detector:
        return detector(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_never_accepted(fp32_bundle, score):
    with pytest.raises(FrameError, match="not a number"):
        judged(fp32_bundle, score)


def test_the_bands_meet_at_the_thresholds(fp32_bundle, tmp_path):
    thresholds = Thresholds(*(Threshold(value, "quantile", {}) for value in (0.5, 0.25, 0.5)))
    bundle = read_bundle(fp32_bundle)
    bundle = bundle.with_variant("fp32", replace(bundle.manifest.variant("fp32"), thresholds=thresholds), {})
    bundle.write(tmp_path / "banded.edgead")
    below = (np.nextafter(np.float32(limit), np.float32(0)) for limit in (0.5, 0.25))
    verdicts = (Verdict.REJECT, Verdict.WARN, Verdict.WARN, Verdict.ACCEPT)
    for score, verdict in zip((0.5, next(below), 0.25, next(below)), verdicts, strict=True):
        result = judged(tmp_path / "banded.edgead", float(score))
        assert result.verdict is verdict
        assert result.pred_label == (verdict is Verdict.REJECT)
    assert judged(tmp_path / "banded.edgead", 0.5).pred_score == 0.5


def test_the_normalised_score_rises_with_the_raw_one(fp32_bundle):
    reject = read_bundle(fp32_bundle).manifest.variant("fp32").thresholds.image.value
    scores = [judged(fp32_bundle, reject * factor).pred_score for factor in (0, 0.5, 0.9, 1, 1.1, 1.5, 10)]
    assert scores == sorted(scores)
    assert scores[0] == 0.0 and scores[-1] == 1.0


def test_a_result_names_the_engine_that_gave_it(fp32_bundle):
    """By the digest of what the runtime was given: as large as a file, of which the cache keeps a copy."""
    bundle = read_bundle(fp32_bundle)
    for make, serialised in (
        (OpenVinoEngine, compile_graph(bundle.graph("fp32"))),
        (OnnxRuntimeEngine, bundle.graph("fp32")),
    ):
        with Detector(bundle, make(serialised, max_batch=8), "fp32") as running:
            result = running(np.zeros((64, 64, 3), np.uint8))
        assert result.engine == hashlib.sha256(serialised).hexdigest()
    with edgead.load(fp32_bundle, target="openvino") as loaded:
        engine = cache.lookup(engine_key(bundle, "openvino", "fp32"))
        assert loaded(np.zeros((64, 64, 3), np.uint8)).engine == hashlib.sha256(engine).hexdigest()
    assert judged(fp32_bundle, 0.1).engine == ""


def test_a_record_is_json_and_carries_the_bundle(detector):
    import json

    result = detector(np.zeros((100, 100, 3), np.uint8))
    record = json.loads(json.dumps(result.record(), allow_nan=False))
    assert record["bundle"] == detector.digest
    assert record["engine"] == result.engine == detector.engine.digest
    assert record["verdict"] in ("accept", "warn", "reject")
    assert record["captured_at"].endswith("+00:00")


masks = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda shape: hnp.arrays(np.bool_, shape))


@given(masks, st.integers(1, 4))
def test_regions_are_scipys_components(mask, scale):
    values = np.where(mask, np.arange(mask.size).reshape(mask.shape), -1).astype(np.float32)
    found = find_regions(values, 0.0, mask.shape[0] * scale, mask.shape[1] * scale)
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    expected = set()
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        inside = labels == label
        expected.add((tuple(side * scale for side in box), int(inside.sum()) * scale**2, float(values[inside].max())))
    assert {(region.box, region.area, region.peak) for region in found} == expected
    assert len(found) == count
    assert [region.peak for region in found] == sorted((region.peak for region in found), reverse=True)


def test_the_frame_is_not_changed(detector):
    frame = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    before = frame.copy()
    detector(frame)
    detector.prepare(frame)
    assert np.array_equal(frame, before)
    assert Frame(frame, 0, "x", 0.0).image is frame


def test_several_frames_at_once_are_judged_as_each_alone(detector, parts):
    paths = sorted((parts / "test/spot").glob("*.png"))[:3]
    frames = [cv2.imread(str(path)) for path in paths]
    frames[1] = cv2.resize(frames[1], (200, 150))
    together = detector.infer_some([detector.prepare(frame) for frame in frames])
    for frame, answer in zip(frames, together, strict=True):
        alone = detector.infer(detector.prepare(frame))
        assert answer.score == pytest.approx(alone.score, rel=1e-4)
        np.testing.assert_allclose(answer.anomaly_map, alone.anomaly_map, rtol=1e-3, atol=1e-6)
        assert answer.finite and answer.anomaly_map.shape == (detector.height, detector.width)
