from __future__ import annotations

import time
from itertools import islice

import numpy as np
import pytest

from edgead import synthetic
from edgead.errors import SourceError
from edgead.frame import Frame, Reading, Signal
from edgead.sources import open_source


def read_all(spec: str) -> list[Reading]:
    readings: list[Reading] = []
    with open_source(spec) as source:
        while (reading := source.read(1)) is not Signal.END:
            readings.append(reading)
    return readings


def test_frames_are_those_of_the_renderer() -> None:
    spec = "synthetic://?seed=5&size=64&defects=0.5&frames=6"
    frames = read_all(spec)
    expected = [image for image, _ in islice(synthetic.frames(seed=5, size=64, defects=0.5), 6)]
    assert [frame.frame_id for frame in frames if isinstance(frame, Frame)] == list(range(6))
    for frame, image in zip(frames, expected, strict=True):
        assert isinstance(frame, Frame) and frame.source == spec
        np.testing.assert_array_equal(frame.image, image)


def test_without_fps_it_is_a_file_and_with_fps_a_camera() -> None:
    assert not open_source("synthetic://").live
    source = open_source("synthetic://?size=64&fps=20&frames=10")
    assert source.live and source.fps == 20
    moments = [reading.captured_at for reading in read_all(source.name) if isinstance(reading, Frame)]
    assert len(moments) == 10
    assert 0.4 < moments[-1] - moments[0] < 10


def test_a_frame_that_is_not_due_is_a_timeout() -> None:
    with open_source("synthetic://?size=64&fps=0.3") as source:
        assert isinstance(source.read(1), Frame)
        began = time.monotonic()
        assert source.read(0.1) is Signal.TIMEOUT
        assert 0.09 < time.monotonic() - began < 2
        assert isinstance(source.read(20), Frame)


@pytest.mark.parametrize(
    "spec",
    [
        "synthetic://?speed=2",
        "synthetic://?size=big",
        "synthetic://?fps=0",
        "synthetic://?fps=nan",
        "synthetic://?frames=-1",
        "synthetic://?seed",
        "synthetic://line2",
    ],
)
def test_a_malformed_spec_shows_how_to_write_it(spec: str) -> None:
    with pytest.raises(SourceError, match=r"write it like synthetic://\?seed=1"):
        open_source(spec)


@pytest.mark.parametrize("spec", ["synthetic://?size=1", "synthetic://?defects=1.5", "synthetic://?seed=-1"])
def test_a_line_that_cannot_be_rendered_is_an_error(spec: str) -> None:
    with pytest.raises(SourceError), open_source(spec):
        pass
