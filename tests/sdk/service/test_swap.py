"""A line that goes on while its bundle is replaced: by another detector, by other thresholds, by what is no good."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
import time
from dataclasses import replace

import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.errors import BundleError, DataError, EngineError
from edgead.frame import Frame
from edgead.live import LiveDetector
from edgead.result import Verdict
from edgead.selftest import Check, SelfTest
from edgead.service import swap
from edgead.service.asked import Asked
from edgead.service.notify import ServiceManager
from edgead.service.swap import Renewal
from tests.conftest import part_photo
from tests.other_detector import other_detector

PHOTO = part_photo(3)[0]


class Place:
    """A line whose bundle lies at `path`. detectors: those that were loaded. told: of which detector, and its reject
    threshold then."""

    def __init__(self, path, other):
        self.path, self.other = path, other
        self.detectors, self.told = [], []
        self.asked = Asked()
        self.live = LiveDetector(self.load(), on_change=self.tell)
        self.first = self.live.current

    def load(self, progress=None):
        self.detectors.append(edgead.load(self.path, target="openvino", **({"progress": progress} if progress else {})))
        return self.detectors[-1]

    def tell(self, detector):
        self.told.append((detector, detector.thresholds.image.value))

    def renewal(self, **options):
        return Renewal(self.live, self.path, options.pop("load", self.load), self.asked, renewed=self.tell, **options)

    def put(self, bundle):
        """Have another file take the place of the bundle in one step."""
        shutil.copy(bundle, self.path.with_suffix(".new"))
        os.replace(self.path.with_suffix(".new"), self.path)

    def judge(self):
        return self.live.judge(self.live.infer(self.live.prepare(PHOTO)), Frame(PHOTO, 0, "line", 0.0), {})

    def renew(self, renewal):
        """Ask, and judge frames until it is done."""
        self.asked.set()
        renewal.turn()
        while renewal._thread is not None:
            self.judge()
            renewal.turn()

    @property
    def running(self):
        return [detector for detector in self.detectors if detector.engine._running]


@pytest.fixture
def place(fp32_bundle, parts, tmp_path):
    place = Place(shutil.copy(fp32_bundle, tmp_path / "part.edgead"), other_detector(parts))
    with place.live:
        yield place
    assert not place.running
    assert not [thread for thread in threading.enumerate() if thread.name == "edgead-renewal"]


def said(caplog):
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert all("\n" not in line for line in lines)
    return lines


def test_another_detector_takes_over_and_the_way_back(place, caplog):
    before, original = place.judge(), place.path.read_bytes()
    with place.renewal() as renewal:
        place.put(place.other)
        place.renew(renewal)
        new = place.judge()
        assert new.bundle == read_bundle(place.other).digest != before.bundle
        assert place.running == [place.live.current]
        with edgead.load(place.path, target="openvino") as alone:
            assert new.raw_score == pytest.approx(alone(PHOTO).raw_score, rel=1e-6)
        place.path.write_bytes(original)
        place.renew(renewal)
        assert place.judge().raw_score == pytest.approx(before.raw_score, rel=1e-6)
    assert [detector for detector, _ in place.told] == place.detectors[1:] and len(place.detectors) == 3
    assert len(said(caplog)) == 2 and all("another detector takes over, lamp in fp32" in line for line in said(caplog))


def test_thresholds_alone_load_nothing(place, caplog):
    bundle = read_bundle(place.path)
    variant = bundle.manifest.variant("fp32")
    high = replace(variant.thresholds.image, value=1e6)
    thresholds = replace(variant.thresholds, image=high, warn=high)
    with place.renewal() as renewal:
        assert place.judge().verdict is Verdict.REJECT
        bundle.with_variant("fp32", replace(variant, thresholds=thresholds), {}).write(place.path)
        place.renew(renewal)
        assert "bad at" in said(caplog)[0] and "accept" in said(caplog)[0]  # the images that it holds are good then
        assert place.judge().bundle == bundle.digest and not place.told
        caplog.clear()
        changed = bundle.with_variant("fp32", replace(variant, thresholds=thresholds, self_test={}), {})
        changed.write(place.path)
        place.renew(renewal)
        result = place.judge()
    assert result.verdict is Verdict.ACCEPT and result.bundle == changed.digest
    assert place.told == [(place.first, 1e6)] and len(place.detectors) == 1
    assert "becomes 1e+06" in said(caplog)[0]


def no_memory(progress):
    raise MemoryError


def no_engine(progress):
    raise EngineError("no engine was built for this device", "part.edgead")


def broken(progress):
    raise RuntimeError("first\nsecond")


@pytest.mark.parametrize(
    ("load", "reason"),
    [(no_memory, "not enough memory"), (no_engine, "no engine was built"), (broken, "RuntimeError: first second")],
)
def test_what_cannot_be_loaded_changes_nothing(place, caplog, load, reason):
    with place.renewal(load=load) as renewal:
        place.put(place.other)
        place.renew(renewal)
        assert reason in said(caplog)[0] and place.judge().bundle == place.first.digest
        assert place.live.current is place.first and not place.told


@pytest.mark.parametrize("content", [b"", b"no bundle", None])
def test_a_damaged_or_missing_file_changes_nothing(place, caplog, content):
    with place.renewal() as renewal:
        if content is None:
            place.path.unlink()
        else:
            whole = place.other.read_bytes()
            place.path.write_bytes(content or whole[: len(whole) // 2])
        place.renew(renewal)
        assert said(caplog)[0].startswith("not reloaded") and place.judge().bundle == place.first.digest
    assert len(place.detectors) == 1


def test_what_fails_its_test_is_closed_and_changes_nothing(place, caplog, monkeypatch):
    wrong = Check("selftest-good-1.png", "good", 0.1, 7.0, Verdict.REJECT, 0.01)

    def fails(detector):
        assert detector is not place.first and detector.engine._running
        assert threading.current_thread() is not threading.main_thread()
        return SelfTest((wrong,))

    monkeypatch.setattr(swap, "self_test", fails)
    with place.renewal() as renewal:
        place.put(place.other)
        place.renew(renewal)
        assert place.judge().bundle == place.first.digest and place.running == [place.first]
    assert "selftest-good-1.png: reject at 7" in said(caplog)[0]


def test_memory_that_is_short_at_the_first_frame_is_found_before(place, caplog):
    """The new detector is tried on a frame of the line's size."""
    seen = []

    def load(progress):
        detector = place.load()

        def fails(image):
            seen.append(image.shape)
            raise EngineError("cuMemAlloc failed: out of memory", "gpu")

        detector.prepare = fails if not detector.bundle.manifest.self_test else after_the_test(detector, fails)
        return detector

    def after_the_test(detector, fails):
        prepare, side = detector.prepare, (detector.height, detector.width, 3)
        return lambda image: prepare(image) if image.shape == side else fails(image)

    place.judge()
    with place.renewal(load=load) as renewal:
        place.put(place.other)
        place.renew(renewal)
        assert place.judge().bundle == place.first.digest and place.running == [place.first]
    assert seen == [PHOTO.shape] and "out of memory" in said(caplog)[0]


def test_what_the_line_cannot_take_is_closed(place, caplog):
    def admit(detector):
        raise DataError("the score of this detector is a probability", "region of interest")

    with place.renewal(admit=admit) as renewal:
        place.put(place.other)
        place.renew(renewal)
        assert place.live.current is place.first and place.running == [place.first]
    assert "is a probability" in said(caplog)[0]


def test_the_precision_is_the_one_asked_for_or_the_bundles(place):
    """Without one the line follows what the bundle prefers; with one it needs that, and other graphs are no matter."""
    bundle = read_bundle(place.path)
    variant = bundle.manifest.variant("fp32")
    fp16 = replace(variant, member="model.fp16.onnx")
    both = bundle.with_variant("fp16", fp16, {"model.fp16.onnx": bundle.graph("fp32")}).preferring("fp16")
    both.write(place.path)
    with place.renewal(precision="fp32") as renewal:
        place.renew(renewal)
        assert place.live.current is place.first and place.judge().bundle == both.digest
    with place.renewal() as renewal:
        place.renew(renewal)
        assert place.live.current.precision == "fp16"
    bundle.write(place.path)
    with place.renewal(precision="fp16") as renewal:
        place.renew(renewal)
        assert place.live.current.precision == "fp16"  # the bundle lost it


def test_what_is_asked_for_meanwhile_is_done_after_it(place, tmp_path):
    """And the service manager hears of both."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    original, go_on = place.path.read_bytes(), threading.Event()

    def slowly(progress):
        detector = place.load()
        assert go_on.wait(20)
        return detector

    with place.renewal(load=slowly, manager=manager) as renewal:
        place.put(place.other)
        place.asked.set()
        renewal.turn()
        while len(place.detectors) < 2:
            assert place.judge().bundle == place.first.digest
            renewal.turn()
            time.sleep(0.01)
        place.path.write_bytes(original)
        place.asked.set()
        renewal.turn()
        assert len(place.detectors) == 2
        go_on.set()
        while place.asked.is_set() or renewal._thread is not None:
            place.judge()
            renewal.turn()
        assert place.judge().bundle == place.first.digest
    assert len(place.detectors) == 3 and len(place.told) == 2
    heard = [listener.recv(4096).decode().splitlines()[0] for _ in range(4)]
    assert heard == ["RELOADING=1", "READY=1"] * 2
    listener.close()


def test_the_end_of_a_run_does_not_wait_for_what_is_loading(place, monkeypatch):
    monkeypatch.setattr(swap, "LEAVE_SECONDS", 0.1)
    started, go_on, ended = threading.Event(), threading.Event(), []

    def slowly(progress):
        started.set()
        assert go_on.wait(20)
        try:
            progress("building", 50, 100)  # what builds TensorRT's engines ends with what this raises
        except EngineError as error:
            ended.append(error)
        return place.load()

    place.put(place.other)
    with place.renewal(load=slowly) as renewal:
        place.asked.set()
        renewal.turn()
        assert started.wait(20)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5
    go_on.set()
    renewal._thread.join(20)
    assert ended and place.running == [place.first]  # what came too late is freed


def test_a_system_that_refuses_a_thread_changes_nothing(place, caplog, monkeypatch):
    def refuses(thread):
        raise RuntimeError("can't start new thread")

    with place.renewal() as renewal:
        place.put(place.other)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuses)
            place.renew(renewal)
        assert place.live.current is place.first and place.judge().bundle == place.first.digest
        assert said(caplog) == ["not reloaded: RuntimeError: can't start new thread"]
        place.renew(renewal)  # asked again, it goes
        assert place.judge().bundle == read_bundle(place.other).digest


def test_what_was_loaded_and_not_taken_over_is_freed_at_the_end(place):
    place.put(place.other)
    with place.renewal() as renewal:
        place.asked.set()
        renewal.turn()
        renewal._thread.join()
        assert len(place.running) == 2
    assert place.running == [place.first]
    with pytest.raises(BundleError):
        place.first.adopt(replace(place.first.bundle, manifest=replace(place.first.bundle.manifest, variants={})))
