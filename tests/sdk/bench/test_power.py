"""Energy from power."""

from __future__ import annotations

import itertools
import threading

import pytest

from edgead.bench.power import PowerMeter


def test_energy_is_the_mean_power_times_the_time():
    """Three questions, at 10, 20 and 60 W, in four seconds of a clock that stands for the real one."""
    asked, watts = threading.Event(), itertools.chain([10.0, 20.0, 60.0])

    def answer():
        told = next(watts, None)
        if told is None:
            asked.set()
        return told

    meter = PowerMeter("board", answer, every=0.001, clock=iter([1.0, 5.0]).__next__)
    meter.start()
    assert asked.wait(30)
    assert meter.stop() == pytest.approx(30.0 * 4.0)


def test_it_measures_again_and_forgets_what_was():
    watts = [10.0]
    times = iter([0.0, 2.0, 10.0, 11.0])
    meter = PowerMeter("board", lambda: watts[0], every=60, clock=times.__next__)
    meter.start()
    assert meter.stop() == 20.0
    watts[0] = 3.0
    meter.start()
    assert meter.stop() == 3.0
    assert meter.stop() is None


def test_no_reading_is_no_energy():
    meter = PowerMeter("board", lambda: None, every=60)
    meter.start()
    assert meter.stop() is None
    assert "edgead-power" not in {thread.name for thread in threading.enumerate()}
