"""The pipeline on a GPU, executed on the host: the real kernels, on streams that run as late as CUDA allows.

Its verdicts are compared with those of the pipeline on the CPU around the same graph.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from edgead import capture, gpu
from edgead.bundle import read_bundle
from edgead.detector import Detector
from edgead.engines.base import Engine
from edgead.engines.stage import Stage
from edgead.errors import EngineError, EngineUnavailable, FrameError, KernelError
from edgead.evaluation.thresholds import Threshold, Thresholds
from edgead.frame import Frame
from edgead.kernels import library
from edgead.kernels.postprocess import overlay
from edgead.pipeline import slots
from edgead.pipeline.device import DevicePipeline
from edgead.pipeline.host import HostPipeline
from edgead.pipeline.slots import REGIONS, SLOTS
from edgead.result import Verdict
from edgead.sources import Source
from edgead.streaming import Stream
from tests.stand_ins.cuda import ORDERS, at

SIDE = 64


class Red(Engine):
    """A graph whose map is the red channel, 0 to 1, and whose score is its highest value. `seen`: its inputs."""

    name = "red"

    def __init__(self) -> None:
        super().__init__(max_batch=1)
        self.seen: list[np.ndarray] = []

    def _activate(self):
        self.size = (SIDE, SIDE)

    def _deactivate(self):
        self.size = None

    def _infer(self, image):
        self.seen.append(image.copy())
        anomaly_map = self.map_of(image)
        return {"anomaly_map": anomaly_map, "score": anomaly_map.max(axis=(1, 2))}

    def map_of(self, image):
        return image[..., 0].astype(np.float32) / np.float32(255)


class RedStage(Red):
    """The same on the stand-in's device. fails: what `enqueue` raises, once."""

    def __init__(self, cuda, *, capturable: bool = True) -> None:
        super().__init__()
        self.cuda, self.capturable = cuda, capturable
        self.outputs = {"score": (), "anomaly_map": (SIDE, SIDE), "attention_map": (SIDE, SIDE)}
        self.fails: Exception | None = None

    def enqueue(self, addresses, batch, stream):
        self.cuda.need_context()
        assert batch == 1 and addresses.keys() == {"image", *self.outputs}
        self.cuda.put(stream, lambda: self.compute(dict(addresses)))
        if self.fails:
            error, self.fails = self.fails, None
            raise error

    def compute(self, addresses):
        outputs = self._infer(at(addresses["image"], (1, SIDE, SIDE, 3), np.uint8))
        for name, values in outputs.items():
            at(addresses[name], values.shape, np.float32)[...] = values


@pytest.fixture(scope="session")
def bundle(fp32_bundle):
    """One for graphs of 64 x 64 pixels, whose thresholds are 0.5 for pixels, 0.6 to warn and 0.8 to reject."""
    thresholds = Thresholds(*(Threshold(value, "quantile", {}) for value in (0.8, 0.6, 0.5)))
    made = read_bundle(fp32_bundle)
    variant = replace(made.manifest.variant("fp32"), thresholds=thresholds)
    assert (thresholds.image.value, thresholds.warn.value, thresholds.pixel.value) == (0.8, 0.6, 0.5)
    return made.with_variant("fp32", variant, {})


def photo(seed, shape=(90, 120, 3), *, spots=5, highest=256):
    """Dark noise with a few bright boxes."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 100, shape, np.uint8)
    for _ in range(spots):
        y, x = random.integers(0, shape[0] - 8), random.integers(0, shape[1] - 8)
        image[y : y + random.integers(4, 20), x : x + random.integers(4, 20)] = random.integers(100, highest)
    return image


PHOTOS = [photo(seed, highest=limit) for seed, limit in enumerate((256, 140, 256, 200, 256, 110, 256, 180))]


def at_host(bundle, image):
    """What the pipeline on the CPU says, and the input that its graph has seen."""
    engine = Red()
    with Detector(bundle, engine, "fp32") as detector:
        assert isinstance(detector._pipeline, HostPipeline)
        return detector(image), engine.seen[0]


def assert_same(found, expected, *, maps=False):
    assert found.verdict is expected.verdict and found.pred_label == expected.pred_label
    assert found.raw_score == expected.raw_score and found.pred_score == expected.pred_score
    assert found.regions == expected.regions
    if maps:
        np.testing.assert_array_equal(found.anomaly_map, expected.anomaly_map)
        np.testing.assert_array_equal(found.pred_mask, expected.pred_mask)
        assert found.anomaly_map.dtype == np.float32 and found.pred_mask.dtype == np.bool_
    else:
        assert found.anomaly_map.shape == found.pred_mask.shape == (0, 0)


lazily = pytest.mark.parametrize("stand_in", ORDERS, indirect=True)


def test_the_photos_have_every_verdict(bundle):
    results = [at_host(bundle, image)[0] for image in PHOTOS]
    assert {result.verdict for result in results} == set(Verdict)
    assert max(len(result.regions) for result in results) > 3
    assert min(len(result.regions) for result in results) == 0


@lazily
@pytest.mark.parametrize("capturable", [False, True])
def test_a_frame_gets_the_verdict_of_the_cpu(stand_in, kernels, bundle, capturable):
    engine = RedStage(stand_in, capturable=capturable)
    assert isinstance(engine, Stage)
    with Detector(bundle, engine, "fp32", maps=False) as detector:
        for image in PHOTOS:
            expected, seen = at_host(bundle, image)
            found = detector(image)
            assert_same(found, expected)
            assert found.overlay is None
            np.testing.assert_array_equal(engine.seen[-1], seen)
    assert (stand_in.graphs.launches > 0) == capturable


@lazily
def test_another_pixel_threshold_holds_from_the_next_frame_on(stand_in, kernels, bundle):
    """Also for frames that were prepared before, and in slots whose graph was captured with another one."""
    variant = bundle.manifest.variant("fp32")
    photos = [photo(seed, (31, 47, 3)) for seed in range(SLOTS)]
    with Detector(bundle, RedStage(stand_in), "fp32", overlay=True) as detector:
        for _ in range(2):
            for prepared in [detector.prepare(image) for image in photos]:
                detector.infer(prepared)
        assert stand_in.graphs.launches > SLOTS
        waiting = [(image, detector.prepare(image)) for image in photos]
        for (image, prepared), pixel in zip(waiting, (0.7, 0.45, 0.7, 0.5, 0.9, 0.45), strict=True):
            thresholds = replace(variant.thresholds, pixel=Threshold(pixel, "quantile", {}))
            other = bundle.with_variant("fp32", replace(variant, thresholds=thresholds), {})
            detector.adopt(other)
            found = detector.judge(detector.infer(prepared), Frame(image, 0, "line", 0.0), {})
            assert_same(found, at_host(other, image)[0], maps=True)
            drawn = overlay(image, found.anomaly_map, 0.0, 2 * pixel, threshold=pixel, layout="bgr", bgr=True)
            np.testing.assert_array_equal(found.overlay, drawn)
            assert found.bundle == other.digest


@lazily
def test_frames_ahead_do_not_touch_those_before_them(stand_in, kernels, bundle):
    """As many frames as there are slots are prepared before the first one is inferred, over and over."""
    with Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector:
        waiting = []
        for number, image in enumerate(PHOTOS * 2):
            waiting.append((Frame(image, number, "line", 0.0), detector.prepare(image)))
            if len(waiting) == SLOTS:
                frame, prepared = waiting.pop(number % SLOTS)
                assert_same(detector.judge(detector.infer(prepared), frame, {}), at_host(bundle, frame.image)[0])


@pytest.mark.parametrize("stand_in", ["needed", "backward"], indirect=True)
def test_an_event_that_is_missing_would_show(stand_in, kernels, bundle, monkeypatch):
    """Of the streams that run late here, so that the tests with them say something."""
    monkeypatch.setattr(gpu.Stream, "wait", lambda self, event: None)
    with Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector:
        wrong = sum(detector(image).raw_score != at_host(bundle, image)[0].raw_score for image in PHOTOS)
    assert wrong > len(PHOTOS) / 2


@lazily
@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("shape", [(90, 120, 3), (90, 120), (90, 120, 1), (64, 64, 3), (31, 47, 3)])
def test_map_and_overlay_come_back_where_they_are_asked_for(stand_in, kernels, bundle, integrated, shape):
    stand_in.integrated = integrated
    with Detector(bundle, RedStage(stand_in), "fp32", overlay=True) as detector:
        kept = []
        for seed in range(3):
            image = photo(seed, shape)
            expected, _ = at_host(bundle, image)
            layout = "bgr" if shape[2:] == (3,) else "gray"
            drawn = overlay(image, expected.anomaly_map, 0.0, 1.0, threshold=0.5, layout=layout, bgr=True)
            kept.append((detector(image), expected, drawn))
    for found, expected, drawn in kept:  # they are the caller's to keep
        assert_same(found, expected, maps=True)
        np.testing.assert_array_equal(found.overlay, drawn)


def test_memory_that_is_shared_is_not_copied(stand_in, kernels, bundle):
    copies = {}
    for integrated in (False, True):
        stand_in.integrated = integrated
        with Detector(bundle, RedStage(stand_in, capturable=False), "fp32", maps=False, overlay=True) as detector:
            detector(PHOTOS[0])
            stand_in.calls.clear()
            detector(PHOTOS[0])
            copies[integrated] = [name for name in stand_in.calls if name.startswith("memcpy")]
    assert copies == {
        False: ["memcpy_htod_async", "memcpy_dtoh_async", "memcpy_dtoh_async"],  # the frame; the verdict, the overlay
        True: ["memcpy_dtoh_async"],  # the verdict
    }


def test_memory_is_made_once_and_a_graph_for_each_slot(stand_in, kernels, bundle):
    with Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector:
        detector(PHOTOS[0])
        before = stand_in.allocations
        for _ in range(3):
            for prepared in [detector.prepare(image) for image in PHOTOS[:SLOTS]]:
                detector.infer(prepared)
        assert stand_in.allocations == before
        assert stand_in.calls.count("cuStreamBeginCapture_v2") == SLOTS
        assert stand_in.graphs.launches == 3 * SLOTS
        stand_in.calls.clear()
        detector(PHOTOS[0])
        assert stand_in.calls == [
            "memcpy_htod_async",
            "edgead_cuda_preprocess",
            "event.record",
            "stream.wait_for_event",
            "cuGraphLaunch",
            "stream.synchronize",
        ]


def test_copies_and_work_have_streams_of_their_own(stand_in, kernels, bundle):
    with Detector(bundle, RedStage(stand_in, capturable=False), "fp32", maps=False) as detector:
        stand_in.launched.clear()
        detector(PHOTOS[0])
    assert len(stand_in.streams) == 2
    copies, work = stand_in.launched[0], stand_in.launched[-1]
    assert copies != work and stand_in.launched == [copies, copies, work, work]  # tables and input, finite and regions


@pytest.mark.parametrize("stand_in", ["needed"], indirect=True)
def test_preparing_a_frame_waits_for_nothing(stand_in, kernels, bundle):
    with Detector(bundle, RedStage(stand_in), "fp32") as detector:
        stand_in.calls.clear()
        kept = [detector.prepare(image) for image in PHOTOS[:SLOTS]]
        assert "stream.synchronize" not in stand_in.calls
        assert sum(len(stream.queue) for stream in stand_in.streams.values()) > 3 * SLOTS
        del kept


@lazily
def test_more_regions_than_come_back_are_found_by_the_host(stand_in, kernels, bundle):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[::3, ::3, 2] = np.arange(22 * 22).reshape(22, 22) % 90 + 150
    expected, _ = at_host(bundle, image)
    assert len(expected.regions) == 22 * 22 > REGIONS
    with Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector:
        for _ in range(3):
            assert_same(detector(image), expected)
            assert_same(detector(PHOTOS[0]), at_host(bundle, PHOTOS[0])[0])


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("capturable", [False, True])
def test_a_map_or_a_score_that_is_no_number_is_never_judged(stand_in, kernels, bundle, strange, capturable):
    """Also where it is below the threshold, and the score is a number."""
    engine = RedStage(stand_in, capturable=capturable)
    frame = Frame(PHOTOS[0], 3, "line", 0.0)

    def spoilt(image):
        outputs = Red._infer(engine, image)
        if where == "score":
            outputs["score"][:] = strange
        elif where == "map":
            outputs["anomaly_map"][0, 63, 63] = strange
        return outputs

    engine._infer = spoilt
    with Detector(bundle, engine, "fp32", maps=False) as detector:
        for where in ("nowhere", "score", "map", "nowhere"):
            answer = detector.infer(detector.prepare(frame.image))
            if where == "nowhere":
                assert_same(detector.judge(answer, frame, {}), at_host(bundle, frame.image)[0])
            else:
                with pytest.raises(FrameError, match="not a number, frame 3"):
                    detector.judge(answer, frame, {})


# Slots


def test_a_frame_that_is_let_go_leaves_its_slot(stand_in, kernels, bundle):
    with Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector:
        for image in PHOTOS * 2:
            prepared = detector.prepare(image)
        assert_same(
            detector.judge(detector.infer(prepared), Frame(PHOTOS[-1], 0, "line", 0.0), {}),
            at_host(bundle, PHOTOS[-1])[0],
        )


def test_too_many_frames_under_way_are_an_error_and_not_a_wait(stand_in, kernels, bundle, monkeypatch):
    monkeypatch.setattr(slots, "MOST_SLOTS", SLOTS + 2)
    with Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector:
        kept = [detector.prepare(image) for image in [*PHOTOS[:SLOTS], *PHOTOS[:2]]]  # two slots are made for it
        with pytest.raises(
            EngineError, match=f"{SLOTS + 2} frames are prepared and not inferred, pipeline, infer them"
        ):
            detector.prepare(PHOTOS[0])
        expected = at_host(bundle, PHOTOS[1])[0]
        assert_same(detector.judge(detector.infer(kept.pop()), Frame(PHOTOS[1], 0, "line", 0.0), {}), expected)
        kept.append(detector.prepare(PHOTOS[0]))
        with pytest.raises(EngineError):
            detector.prepare(PHOTOS[0])


def test_there_are_slots_for_all_that_a_stream_holds():
    assert SLOTS >= capture.QUEUE + 2  # those that wait, the one that is inferred, the one that is prepared
    cameras = 16
    assert cameras * (capture.QUEUE_OF_SEVERAL + 1) + 8 <= slots.MOST_SLOTS


def test_a_frame_is_inferred_once(stand_in, kernels, bundle):
    with Detector(bundle, RedStage(stand_in), "fp32") as detector:
        prepared = detector.prepare(PHOTOS[0])
        detector.infer(prepared)
        with pytest.raises(EngineError, match="inferred before"):
            detector.infer(prepared)


@lazily
def test_frames_of_another_size_get_memory_of_their_own(stand_in, kernels, bundle, caplog):
    caplog.set_level(logging.INFO, "edgead.pipeline.device")
    small, gray = photo(1, (70, 80, 3)), photo(2, (70, 80))
    with Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector:
        frames = [PHOTOS[0], PHOTOS[1], small, gray, gray, PHOTOS[2]]
        waiting = [detector.prepare(image) for image in frames]
        for prepared, image in zip(waiting, frames, strict=True):
            result = detector.judge(detector.infer(prepared), Frame(image, 0, "line", 0.0), {})
            assert_same(result, at_host(bundle, image)[0])
        assert [record.args[0] for record in caplog.records] == [(70, 80, 3), (70, 80)]  # and no more in turns
        detector(PHOTOS[0])
        held = len(stand_in.live)
        for _ in range(4):
            dropped = detector.prepare(small)  # nobody infers it
            del dropped
            detector(PHOTOS[0])
        assert len(stand_in.live) == held


def test_memory_is_kept_for_a_few_sizes_and_no_more(stand_in, kernels, bundle):
    with Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector:
        sizes = [photo(1, (40 + 2 * number, 50, 3)) for number in range(10)]
        kept = detector.prepare(sizes[0])  # stays where it is, whatever comes
        for image in sizes[1:5]:
            detector(image)
        held = len(stand_in.live)
        for image in sizes[5:]:
            detector(image)
            assert len(stand_in.live) <= held
        assert_same(
            detector.judge(detector.infer(kept), Frame(sizes[0], 0, "line", 0.0), {}), at_host(bundle, sizes[0])[0]
        )


# Errors and the end


@pytest.mark.parametrize("fails", ["memcpy_htod_async", "event.record", "stream.wait_for_event", "memcpy_dtoh_async"])
def test_a_failure_of_cuda_is_an_engine_error_and_costs_no_slot(stand_in, kernels, bundle, fails):
    kept = []
    with Detector(bundle, RedStage(stand_in, capturable=False), "fp32", maps=False) as detector:
        for _ in range(SLOTS + 1):
            stand_in.fail.add(fails)
            with pytest.raises(EngineError, match=rf"CUDA failed \({fails} failed") as raised:
                detector(PHOTOS[0])
            kept.append(raised)  # and with it whatever its traceback holds
        assert_same(detector(PHOTOS[1]), at_host(bundle, PHOTOS[1])[0])


@pytest.mark.parametrize("kernel", ["preprocess", "finite", "regions", "overlay"])
def test_a_kernel_that_cannot_be_queued_costs_no_slot(stand_in, kernels, bundle, kernel):
    with Detector(bundle, RedStage(stand_in, capturable=False), "fp32", overlay=True) as detector:
        for _ in range(SLOTS + 1):
            kernels.fail.add(f"edgead_cuda_{kernel}")
            with pytest.raises((EngineError, KernelError), match="CUDA failed"):
                detector(PHOTOS[0])
        assert_same(detector(PHOTOS[1]), at_host(bundle, PHOTOS[1])[0], maps=True)


def test_a_stage_that_fails_costs_no_slot(stand_in, kernels, bundle):
    engine = RedStage(stand_in, capturable=False)
    with Detector(bundle, engine, "fp32", maps=False) as detector:
        for _ in range(SLOTS + 1):
            engine.fails = EngineError("a batch of 1 fails", "red")
            with pytest.raises(EngineError, match="a batch of 1 fails"):
                detector(PHOTOS[0])
        assert_same(detector(PHOTOS[1]), at_host(bundle, PHOTOS[1])[0])


@pytest.mark.parametrize("how", ["refused", "fails", "not instantiated"])
def test_what_cannot_be_captured_runs_without_a_graph(stand_in, kernels, bundle, caplog, how):
    engine = RedStage(stand_in)
    with Detector(bundle, engine, "fp32", maps=False) as detector:
        detector(PHOTOS[0])
        if how == "refused":
            stand_in.graphs.refuses = True
        elif how == "fails":
            engine.fails = EngineError("not while a stream is captured", "red")
        else:
            stand_in.graphs.fail["cuGraphInstantiateWithFlags"] = 900
        for image in PHOTOS:
            assert_same(detector(image), at_host(bundle, image)[0])
    assert [record.levelname for record in caplog.records if "without a CUDA graph" in record.message] == ["WARNING"]
    assert stand_in.graphs.launches == 0


@pytest.mark.parametrize("allocation", range(1, 40, 3))
def test_memory_that_runs_out_is_given_back(stand_in, kernels, bundle, allocation):
    stand_in.fail_at = allocation
    engine = RedStage(stand_in)
    try:
        with Detector(bundle, engine, "fp32", overlay=True) as detector:
            with pytest.raises(EngineError, match="out of memory"):
                detector(PHOTOS[0])
            assert_same(detector(PHOTOS[0]), at_host(bundle, PHOTOS[0])[0], maps=True)  # there is enough of it now
    except EngineError as error:
        assert allocation == 1 and "out of memory" in str(error)
    assert not stand_in.live
    with pytest.raises(EngineError, match="not running"):
        engine.infer(np.zeros((1, SIDE, SIDE, 3), np.uint8))


@lazily
def test_closing_while_frames_are_under_way(stand_in, kernels, bundle):
    detector = Detector(bundle, RedStage(stand_in), "fp32", overlay=True)
    small = detector.prepare(photo(0, (70, 80, 3)))
    kept = [detector.prepare(image) for image in PHOTOS[:3]]
    detector.infer(kept[0])
    detector.close()
    assert not stand_in.live
    detector.close()
    for prepared in (small, kept[1]):
        with pytest.raises(EngineError, match="closed"):
            detector.infer(prepared)
    with pytest.raises(EngineError, match="closed"):
        detector.prepare(PHOTOS[0])
    del kept, small, prepared
    gc.collect()


def test_the_host_takes_over_where_there_are_no_kernels(stand_in, bundle, monkeypatch, caplog):
    monkeypatch.setattr(library, "why_not_cuda", lambda: "the native library is missing")
    with Detector(bundle, RedStage(stand_in), "fp32") as detector:
        assert isinstance(detector._pipeline, HostPipeline)
        assert_same(detector(PHOTOS[0]), at_host(bundle, PHOTOS[0])[0], maps=True)
    assert "prepared and judged on the CPU: the native library is missing" in caplog.text


def test_a_stage_that_does_not_run_is_refused(stand_in, kernels):
    with pytest.raises(EngineError, match="no running detector graph, red"):
        DevicePipeline(RedStage(stand_in), 0.5)


# With a stream


class Line(Source):
    """Photos without end, 50 a second where it is live; the frame's number says which."""

    def __init__(self, *, live: bool) -> None:
        super().__init__("line")
        self.live = live

    def open(self):
        pass

    def read(self, timeout):
        time.sleep(0.02 if self.live else 0)
        return self._frame(PHOTOS[self._next_id % len(PHOTOS)])

    def close(self):
        pass


@lazily
@pytest.mark.parametrize("policy", ["every", "latest"])
def test_a_stream_over_it_judges_every_frame_as_the_cpu_does(stand_in, kernels, bundle, policy):
    expected = [at_host(bundle, image)[0] for image in PHOTOS]
    with (
        Detector(bundle, RedStage(stand_in), "fp32", maps=False) as detector,
        Stream(detector, Line(live=policy == "latest"), policy=policy, max_frames=16) as run,
    ):
        results = list(run)
    assert len(results) == 16
    for result in results:
        assert_same(result, expected[result.frame_id % len(PHOTOS)])
    if policy == "every":
        assert [result.frame_id for result in results] == list(range(16))
    assert threading.active_count() < 10


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_a_stream_that_is_left_early_leaves_nothing_on_the_device(stand_in, kernels, bundle, policy):
    with Detector(bundle, RedStage(stand_in), "fp32") as detector:
        for _ in range(3):
            with Stream(detector, Line(live=policy == "latest"), policy=policy) as run:
                for number, _ in enumerate(run):
                    if number == 4:
                        break
            kept = [detector.prepare(image) for image in PHOTOS[:SLOTS]]  # all of them are there again
            del kept


def test_a_failure_of_the_device_ends_a_stream(stand_in, kernels, bundle):
    with (
        Detector(bundle, RedStage(stand_in), "fp32") as detector,
        pytest.raises(EngineError, match="CUDA failed"),
        Stream(detector, Line(live=False)) as run,
    ):
        for number, _ in enumerate(run):
            if number == 5:
                stand_in.fail.add("memcpy_htod_async")


def test_without_a_driver_there_is_no_pipeline():
    with pytest.raises(EngineUnavailable):
        gpu.describe()
