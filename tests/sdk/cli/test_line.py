"""What follows the detector of a line: rules, the page, drift and heat maps, each exactly with the first new frame."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

import edgead
from edgead.cli.line import Line
from edgead.cli.stream import _add_dashboard, _add_drift, _add_rules
from edgead.cli.terminal import Terminal
from edgead.errors import DataError
from edgead.frame import Frame
from edgead.sources import open_source
from edgead.verdicts import Hysteresis, Polygon, Rules, Scoring
from tests.other_detector import other_detector


def test_everything_follows_with_the_first_frame_of_another_detector(fp32_bundle, parts):
    first, second = (edgead.load(path, target="openvino") for path in (fp32_bundle, other_detector(parts)))
    detectors = {detector.digest: detector for detector in (first, second)}
    seen = []
    with Line(first, [open_source(str(parts / "train/good"))]) as line:
        _add_rules(line, Rules(hysteresis=Hysteresis.parse("1/1")), changing=True)
        dashboard = _add_dashboard(line, "127.0.0.1:0", None, (), title="parts", files=[])
        _add_drift(line)
        with line.stream(None, None, threading.Event(), Terminal(quiet=True)) as run:
            for result in run:
                judging = detectors[result.bundle]
                pixel = judging.thresholds.pixel.value
                assert line.rules.scoring == Scoring.of(judging)
                assert dashboard.settings.limits.reject == judging.thresholds.image.value
                assert line.heat.of(result) == (0.0, 2 * pixel)
                if len(seen) == 5:
                    line.detector.swap(second)
                seen.append(result)
        reference = line.observers[1].reference
        assert reference and reference == _reference(second)
        # What the page changes is of the detector that judges, and is the rules' as well
        dashboard.settings.set_limits(type(dashboard.settings.limits)(9.0, 8.0), "10.0.0.7")
        assert second.thresholds.image.value == line.rules.scoring.bands.thresholds.image.value == 9.0
        assert first.thresholds.image.value != 9.0
    assert run.summary.swaps == 1 and run.summary.to_json()["swaps"] == 1
    assert {result.bundle for result in seen} == detectors.keys() and len(seen) == 24
    assert "the bundle" in {change.client for change in dashboard.settings.changes}


def _reference(detector):
    from edgead.drift import Reference

    remembered = detector.bundle.manifest.variant(detector.precision).good_scores
    return Reference.of(detector.thresholds, detector.score_range, remembered)


def test_a_detector_whose_map_shows_nothing_of_the_region_is_not_taken(fp32_bundle):
    detector = edgead.load(fp32_bundle, target="openvino")
    frame = np.zeros((600, 800, 3), np.uint8)
    with Line(detector, [open_source("synthetic://")]) as line:
        _add_rules(line, Rules(roi=(Polygon(((0.5, 0.5), (0.53, 0.5), (0.53, 0.53), (0.5, 0.53))),)), changing=True)
        line.admit(detector)  # no frame has said yet what there is to see
        line.rules.apply(detector(frame), Frame(frame, 0, "synthetic://", 0.0))
        line.admit(detector)
        coarse = SimpleNamespace(bands=detector.bands, bundle=detector.bundle, height=4, width=4)
        with pytest.raises(DataError):
            line.admit(coarse)


def test_a_line_says_which_detector_it_cannot_take(fp32_bundle):
    def refuse(detector):
        raise DataError("its score is a probability", "area")

    detector = edgead.load(fp32_bundle, target="openvino")
    with Line(detector, [open_source("synthetic://")]) as line:
        line.admit(detector)
        line.require(refuse)
        with pytest.raises(DataError, match="probability"):
            line.admit(detector)
    assert not detector.engine._running
