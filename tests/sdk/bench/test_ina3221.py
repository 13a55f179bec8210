"""A Jetson's power monitors."""

from __future__ import annotations

import pytest

from edgead.bench.ina3221 import find, rails

FOLDER = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
NANO = {
    f"{FOLDER}/in1_label": "VDD_IN", f"{FOLDER}/in1_input": 5000, f"{FOLDER}/curr1_input": 1200,
    f"{FOLDER}/in2_label": "VDD_CPU_GPU_CV", f"{FOLDER}/in2_input": 5000, f"{FOLDER}/curr2_input": 400,
    f"{FOLDER}/in3_label": "VDD_SOC", f"{FOLDER}/in3_input": 5000, f"{FOLDER}/curr3_input": 300,
    f"{FOLDER}/in4_input": 6, f"{FOLDER}/in7_label": "sum of shunt voltages", f"{FOLDER}/in7_input": 8,
    f"{FOLDER}/curr4_input": 1900,
}  # fmt: skip
SECOND = "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4"
AGX = {
    f"{FOLDER}/in1_label": "VDD_GPU_SOC", f"{FOLDER}/in1_input": 19000, f"{FOLDER}/curr1_input": 500,
    f"{FOLDER}/in2_label": "VDD_CPU_CV", f"{FOLDER}/in2_input": 19000, f"{FOLDER}/curr2_input": 100,
    f"{FOLDER}/in3_label": "VIN_SYS_5V0", f"{FOLDER}/in3_input": 5000, f"{FOLDER}/curr3_input": 800,
    f"{SECOND}/in1_label": "NC", f"{SECOND}/in1_input": 5000, f"{SECOND}/curr1_input": 9000,
    f"{SECOND}/in2_label": "VDDQ_VDD2_1V8AO", f"{SECOND}/in2_input": 1800, f"{SECOND}/curr2_input": 500,
}  # fmt: skip


def test_the_rail_that_feeds_all_others_is_the_whole(tree):
    root = tree(NANO)
    assert {rail.label: rail.watts() for rail in rails(root)} == {"VDD_IN": 6, "VDD_CPU_GPU_CV": 2, "VDD_SOC": 1.5}
    meter = find(root)
    assert meter.name == "INA3221 (VDD_IN)" and meter._watts() == 6


def test_folders_are_links_as_linux_has_them(tree):
    root = tree({name.replace("sys/bus/i2c/drivers/ina3221", "sys/devices/i2c-1"): text for name, text in NANO.items()})
    (root / "sys/bus/i2c/drivers/ina3221").mkdir(parents=True)
    (root / "sys/bus/i2c/drivers/ina3221/1-0040").symlink_to("../../../../devices/i2c-1/1-0040")
    assert find(root).name == "INA3221 (VDD_IN)"


def test_without_it_all_rails_that_are_connected_are_summed(tree):
    meter = find(tree(AGX))
    assert meter.name == "INA3221 (VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0, VDDQ_VDD2_1V8AO)"
    assert meter._watts() == pytest.approx(9.5 + 1.9 + 4.0 + 0.9)


def test_its_energy_is_that_of_the_rail(tree):
    meter = find(tree(NANO))
    meter._clock = iter([10.0, 12.5]).__next__
    meter.start()
    assert meter.stop() == pytest.approx(6 * 2.5)


def test_a_board_without_monitors_and_one_that_says_nonsense(tree, tmp_path):
    assert find(tmp_path / "nowhere") == "no INA3221 power monitor"
    assert find(tree({**NANO, f"{FOLDER}/curr1_input": "-"})) == "INA3221 (VDD_IN) cannot be read"
