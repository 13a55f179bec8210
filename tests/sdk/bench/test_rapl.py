"""Counters of energy: which are counted, through their end, and where they may not be read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgead.bench.rapl import Rapl, find

FOLDER = "sys/class/powercap"
PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def zone(place, name, energy, most=262143328850):
    folder = f"{FOLDER}/{place}"
    return {
        f"{folder}/name": name,
        f"{folder}/energy_uj": energy,
        f"{folder}/max_energy_range_uj": most,
    }


@pytest.fixture
def two_sockets(tree):
    return tree(
        zone("intel-rapl:0", "package-0", 1_000_000)
        | zone("intel-rapl:0:0", "core", 500_000)
        | zone("intel-rapl:0:1", "dram", 10_000_000)
        | zone("intel-rapl:1", "package-1", 2_000_000, most=65_000_000)
        | zone("intel-rapl:2", "psys", 77_000_000)
        | zone("intel-rapl-mmio:0", "package-0", 1_000_000)
        | {f"{FOLDER}/intel-rapl/enabled": 1}
    )


def test_packages_and_their_memory_are_summed_once(two_sockets, tree):
    meter = find(two_sockets)
    assert isinstance(meter, Rapl)
    assert meter.name == "RAPL (package-0, dram, package-1)"
    meter.start()
    for place, energy in {
        "intel-rapl:0": 4_000_000, "intel-rapl:0:0": 3_000_000, "intel-rapl:0:1": 10_500_000,
        "intel-rapl:1": 2_250_000, "intel-rapl:2": 99_000_000, "intel-rapl-mmio:0": 4_000_000,
    }.items():  # fmt: skip
        tree({f"{FOLDER}/{place}/energy_uj": energy})
    assert meter.stop() == pytest.approx(3.0 + 0.5 + 0.25)


def test_a_counter_goes_on_from_nothing_at_its_end(two_sockets, tree):
    tree({f"{FOLDER}/intel-rapl:1/energy_uj": 64_000_000})
    meter = find(two_sockets)
    meter.start()
    tree({f"{FOLDER}/intel-rapl:1/energy_uj": 1_500_000})
    assert meter.stop() == pytest.approx(1.0 + 1.5)


def test_a_counter_that_goes_away_gives_no_reading(two_sockets):
    meter = find(two_sockets)
    assert meter.stop() is None  # it was not started
    meter.start()
    (two_sockets / FOLDER / "intel-rapl:1/energy_uj").unlink()
    assert meter.stop() is None


def test_counters_for_root_alone_are_named(two_sockets):
    secret = two_sockets / FOLDER / "intel-rapl:0/energy_uj"
    secret.chmod(0)
    program = f"from pathlib import Path; from edgead.bench.rapl import find; print(find(Path({str(two_sockets)!r})))"
    done = subprocess.run([*PLAIN, sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{secret} may be read by root alone"


def test_no_counters_and_counters_of_nonsense(tree, tmp_path):
    assert find(tmp_path / "nowhere") == f"no counter of energy in {tmp_path / 'nowhere' / FOLDER}"
    assert "cannot be read" in find(tree(zone("intel-rapl:0", "package-0", "many")))
