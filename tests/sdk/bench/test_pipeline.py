"""Engine against pipeline."""

from __future__ import annotations

import time

import pytest

import edgead
from edgead.bench.pipeline import Piped, pipelines
from edgead.errors import SourceError


def test_the_share_is_the_median_of_the_rounds():
    piped = Piped(engine=[100.0, 200.0, 100.0], pipeline=[50.0, 50.0, 90.0], inside=[0.9, 0.7, 0.8])
    assert piped.share == 0.5
    assert piped.to_json()["pipeline_share_of_engine"] == 0.5
    assert piped.overhead == pytest.approx(0.2) and piped.to_json()["pipeline_overhead"] == 0.2


class Slow:
    """An engine that takes ten milliseconds, and judgement that takes as long again."""

    def __init__(self, detector, monkeypatch):
        for name in ("infer", "judge"):
            does = getattr(detector, name)
            monkeypatch.setattr(detector, name, lambda *given, does=does: (time.sleep(0.01), does(*given))[1])


def test_the_overhead_is_what_the_engine_waits(fp32_bundle, monkeypatch):
    with edgead.load(fp32_bundle, target="openvino") as detector:
        Slow(detector, monkeypatch)
        (piped,) = pipelines([detector], "synthetic://?size=64", frames=20, rounds=1)
    assert 0.2 < piped.overhead < 0.8


def test_detectors_take_turns(fp32_bundle, monkeypatch):
    with edgead.load(fp32_bundle, target="openvino") as one, edgead.load(fp32_bundle, target="openvino") as other:
        asked = []
        for name, detector in (("one", one), ("other", other)):
            infer = detector.engine.infer
            monkeypatch.setattr(detector.engine, "infer", lambda image, n=name, f=infer: (asked.append(n), f(image))[1])
        measured = pipelines([one, other], "synthetic://?size=64", frames=10, rounds=2)
    calls = 10 + 10 + 10  # to warm up, alone, and in the pipeline
    assert asked == (["one"] * calls + ["other"] * calls) * 2
    for piped in measured:
        assert len(piped.engine) == len(piped.pipeline) == 2 and min(piped.engine + piped.pipeline) > 0
        assert piped.summary.judged == 10 and piped.summary.stages["prepare"].count == 10


def test_a_source_that_cannot_be_read_is_an_error(fp32_bundle, tmp_path):
    (tmp_path / "line.mp4").write_bytes(b"no video")
    with edgead.load(fp32_bundle, target="openvino") as detector, pytest.raises(SourceError, match=r"line\.mp4"):
        pipelines([detector], str(tmp_path / "line.mp4"), frames=10, rounds=1)


def test_a_source_of_which_no_frame_can_be_judged_has_no_speed(fp32_bundle, tmp_path):
    (tmp_path / "line.png").write_bytes(b"no picture")
    with (
        edgead.load(fp32_bundle, target="openvino") as detector,
        pytest.raises(SourceError, match=r"none of its 1 frames can be judged.*line\.png"),
    ):
        pipelines([detector], str(tmp_path / "line.png"), frames=10, rounds=1)
