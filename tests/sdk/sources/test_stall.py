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


def read_for(camera: Camera, seconds: float, frames: int = 10**6) -> list[Reading]:
    """What a camera gives in so many seconds, or until the given number of frames."""
    readings: list[Reading] = []
    end = time.monotonic() + seconds
    with camera:
        while time.monotonic() < end and sum(isinstance(reading, Frame) for reading in readings) < frames:
            readings.append(camera.read(0.1))
    return readings


def scene(noise: float, seed: int = 0) -> Image:
    """A gray part with a sensor's noise."""
    random = np.random.default_rng(seed)
    return np.clip(np.full((64, 64, 3), 90) + noise * random.standard_normal((64, 64, 3)), 0, 255).astype(np.uint8)


def test_the_same_picture_again_and_again_is_one_alarm_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    def frozen_from_5_to_100(number: int) -> Image:
        return scene(2, seed=min(number, 5) if number <= 100 else number)

    camera = Camera("cam", lambda: Sensor(frozen_from_5_to_100), stall=1)
    with caplog.at_level(logging.INFO):
        readings = read_for(camera, 40, frames=70)
    lost = [reading for reading in readings if isinstance(reading, LostFrame)]
    assert [one.reason for one in lost] == ["the camera gives the same picture for 1 s"]
    frames = [reading for reading in readings if isinstance(reading, Frame)]
    before = [frame for frame in frames if frame.frame_id < lost[0].frame_id]
    after = [frame for frame in frames if frame.frame_id > lost[0].frame_id]
    assert 5 < len(before) <= 57  # five pictures, and those of 1 s at 50 frames/s
    assert len(after) > 10 and np.array_equal(after[0].image, scene(2, seed=101))  # none of the frozen ones
    assert "gives new pictures again" in caplog.text


@pytest.mark.parametrize(("noise", "stall"), [(0.5, 1.0), (0.0, 0.0)])
def test_a_still_scene_with_noise_is_no_stall_and_without_it_can_be_allowed(noise: float, stall: float) -> None:
    camera = Camera("cam", lambda: Sensor(lambda number: scene(noise, number)), stall=stall)
    readings = read_for(camera, 2.5)
    assert sum(isinstance(reading, Frame) for reading in readings) > 20
    assert not any(isinstance(reading, LostFrame) for reading in readings)


def test_silence_is_an_alarm_once() -> None:
    def silent(number: int) -> Image:
        if number > 3:
            time.sleep(4)
        return scene(2, number)

    readings = read_for(Camera("cam", lambda: Sensor(silent), stall=1), 3)
    assert [r.reason for r in readings if isinstance(r, LostFrame)] == ["the camera gives no picture for 1 s"]
    assert Signal.TIMEOUT in readings


@pytest.mark.parametrize("frozen", [False, True])
def test_a_camera_whose_pictures_nobody_takes_is_not_silent(frozen: bool) -> None:
    """As with policy `every` and a slow engine. One picture that comes twice is no camera that stands still."""

    def slow(number: int) -> Image:
        time.sleep(0.6)
        return scene(2, number // 2 if frozen else number)

    with Camera("cam", lambda: Sensor(slow), stall=2) as camera:
        assert isinstance(camera.read(10), Frame)
        time.sleep(3)
        readings = [camera.read(0.1) for _ in range(15)]
    assert not [reading for reading in readings if isinstance(reading, LostFrame)]
    assert len([reading for reading in readings if isinstance(reading, Frame)]) >= 3
