"""Energy of engines: which meters are taken, and joules by image."""

from __future__ import annotations

import pytest

from edgead.bench.energy import find_meters, joules_per_image
from tests.sdk.bench.test_ina3221 import NANO
from tests.sdk.bench.test_rapl import zone


class Board:
    """A meter of a board that draws `watts` while the clock goes on; it writes down which engine ran."""

    name = "board"

    def __init__(self, clock, watts, record):
        self._clock, self._watts, self._record, self.metered = clock, watts, record, []

    def start(self):
        self._begin, self._from = self._clock(), len(self._record)

    def stop(self):
        self.metered.append({name for name, _ in self._record[self._from :]})
        return None if self._watts is None else self._watts * (self._clock() - self._begin)


def test_joules_for_an_image_are_power_by_rate(clock, sleeper):
    record = []
    engines = [sleeper([10], record=record, name="slow"), sleeper([4], record=record, name="fast")]
    board = Board(clock, 50.0, record)
    slow, fast = joules_per_image(engines, [board], rounds=2, lead=0.1, stretch=1.0, clock=clock)
    assert slow == {"board": pytest.approx(50 * 0.010)} and fast == {"board": pytest.approx(50 * 0.004)}
    assert board.metered == [{"slow"}, {"fast"}] * 2
    calls = [name for name, _ in record]
    assert calls.count("slow") == pytest.approx(2 * 110, abs=4)  # with the lead, which is not metered


def test_a_meter_without_a_reading_is_left_out(clock, sleeper):
    engine = sleeper([10])
    good, blind, failing = Board(clock, 5.0, []), Board(clock, None, []), Board(clock, 5.0, [])
    blind.name, failing.name = "blind", "failing"
    readings = iter([2.5, None])
    failing.stop = lambda: next(readings)
    (joules,) = joules_per_image([engine], [good, blind, failing], rounds=2, lead=0, stretch=0.5, clock=clock)
    assert joules == {"board": pytest.approx(0.05)}


def test_without_meters_nothing_runs(clock, sleeper):
    engine = sleeper([10])
    assert joules_per_image([engine, engine], [], clock=clock) == [{}, {}]
    assert engine.engine.record == []


def names(found):
    meters, reasons = found
    return [meter.name for meter in meters], reasons


def test_a_jetson_has_one_meter_for_all_of_it(tree, program):
    program("nvidia-smi", "echo 30.0")
    root = tree(NANO | zone("intel-rapl:0", "package-0", 1))
    assert names(find_meters(root, gpu=True)) == (["INA3221 (VDD_IN)"], "")


def test_a_server_has_two_and_the_gpu_only_where_it_is_used(tree, program):
    program("nvidia-smi", "echo 412.5")
    root = tree(zone("intel-rapl:0", "package-0", 1))
    assert names(find_meters(root, gpu=True)) == (["RAPL (package-0)", "GPU by nvidia-smi"], "")
    assert names(find_meters(root)) == (["RAPL (package-0)"], "")


def test_why_there_is_no_meter(tmp_path, program):
    found, reasons = find_meters(tmp_path, gpu=True)
    assert found == []
    assert "no counter of energy" in reasons and "no INA3221" in reasons and "nvidia-smi tells no power" in reasons
    program("nvidia-smi", "echo '[Unknown Error]'")
    assert find_meters(tmp_path, gpu=True)[0] == []


def test_a_gpu_is_metered_by_what_it_draws(tmp_path, program):
    program("nvidia-smi", "echo 250.0")
    (meter,), _ = find_meters(tmp_path, gpu=True)
    meter._clock = iter([0.0, 2.0]).__next__
    meter.start()
    assert meter.stop() == pytest.approx(500.0)
