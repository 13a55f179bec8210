from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
import pytest

from edgead.frame import Frame, Image, LostFrame, Reading, Signal
from edgead.sources.camera import Camera


class Sensor:
    """A connection that gives `picture(n)` every 20 ms."""

    fps: float | None = 50.0

    def __init__(self, picture: Callable[[int], Image]) -> None:
        self._picture, self._next = picture, 0
        self.failures = 0

    def read(self) -> Image | str:
        time.sleep(0.02)
        self._next += 1
        return self._picture(self._next)

    def close(self) -> None:
        """Nothing to free."""


def read_for(camera: Camera, seconds: float) -> list[Reading]:
    with camera:
        end = time.monotonic() + seconds
        return [reading for _ in iter(lambda: time.monotonic() < end, False) for reading in [camera.read(0.1)]]


def scene(noise: float, seed: int = 0) -> Image:
    """A gray part with a sensor's noise."""
    random = np.random.default_rng(seed)
    return np.clip(np.full((64, 64, 3), 90) + noise * random.standard_normal((64, 64, 3)), 0, 255).astype(np.uint8)


def test_the_same_picture_again_and_again_is_one_alarm_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    def frozen_from_5_to_50(number: int) -> Image:
        return scene(2, seed=min(number, 5) if number <= 50 else number)

    camera = Camera("cam", lambda: Sensor(frozen_from_5_to_50), stall=0.4)
    with caplog.at_level(logging.INFO):
        readings = read_for(camera, 1.6)
    lost = [reading for reading in readings if isinstance(reading, LostFrame)]
    assert [one.reason for one in lost] == ["the camera gives the same picture for 0.4 s"]
    frames = [reading for reading in readings if isinstance(reading, Frame)]
    before = [frame for frame in frames if frame.frame_id < lost[0].frame_id]
    after = [frame for frame in frames if frame.frame_id > lost[0].frame_id]
    assert 15 <= len(before) <= 27  # five pictures, and those of 0.4 s at 50 frames/s
    assert len(after) > 10 and np.array_equal(after[0].image, scene(2, seed=51))  # none of the frozen ones
    assert "gives new pictures again" in caplog.text


@pytest.mark.parametrize(("noise", "stall"), [(0.5, 0.2), (0.0, 0.0)])
def test_a_still_scene_with_noise_is_no_stall_and_without_it_can_be_allowed(noise: float, stall: float) -> None:
    camera = Camera("cam", lambda: Sensor(lambda number: scene(noise, number)), stall=stall)
    readings = read_for(camera, 0.6)
    assert len(readings) > 20 and all(isinstance(reading, Frame) for reading in readings)


def test_silence_is_an_alarm_once() -> None:
    def silent(number: int) -> Image:
        if number > 3:
            time.sleep(0.7)
        return scene(2, number)

    readings = read_for(Camera("cam", lambda: Sensor(silent), stall=0.3), 0.65)
    assert [r.reason for r in readings if isinstance(r, LostFrame)] == ["the camera gives no picture for 0.3 s"]
    assert Signal.TIMEOUT in readings
