"""What a machine says of itself, from trees of files that look like one."""

from __future__ import annotations

import os

from edgead.bench.machine import Machine, Pace, describe, pace

CPU = "sys/devices/system/cpu/cpu{}/cpufreq/{}"
SERVER = {
    "proc/cpuinfo": 2 * "processor\t: 0\nmodel name\t: Some Xeon\ncpu MHz\t\t: 1000.0\n\n",
    "proc/loadavg": "0.42 0.50 0.61 2/512 12345",
    CPU.format(0, "scaling_governor"): "powersave",
    CPU.format(1, "scaling_governor"): "performance",
    CPU.format(0, "scaling_cur_freq"): 1200000,
    CPU.format(1, "scaling_cur_freq"): 3500000,
    CPU.format(0, "cpuinfo_max_freq"): 3700000,
    CPU.format(1, "cpuinfo_max_freq"): 4100000,
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": 9999999,
}
JETSON = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/loadavg": "1.00 0.50 0.61 2/512 12345",
    CPU.format(0, "scaling_governor"): "schedutil",
    CPU.format(0, "scaling_cur_freq"): 729600,
    CPU.format(0, "cpuinfo_max_freq"): 1510400,
    "sys/class/devfreq/15340000.vic/device/of_node/name": "vic\0",
    "sys/class/devfreq/15340000.vic/cur_freq": 115200000,
    "sys/class/devfreq/17000000.gpu/device/of_node/name": "gpu\0",
    "sys/class/devfreq/17000000.gpu/cur_freq": 306000000,
    "sys/class/devfreq/17000000.gpu/max_freq": 624750000,
    "sys/class/devfreq/17000000.gpu/governor": "nvhost_podgov",
}


def test_a_server_with_a_gpu(tree, program):
    answers = {
        "name,driver_version,power.limit,clocks.max.sm": "NVIDIA H100 80GB HBM3, 560.35.03, 700.00, 1980",
        "clocks.sm,clocks.mem,pstate": "1755, 2619, P0",
    }
    cases = "".join(f"--query-gpu={fields}) echo '{answer}';;" for fields, answer in answers.items())
    program("nvidia-smi", f'case "$2" in {cases} *) exit 6;; esac')
    machine, now = describe(root := tree(SERVER)), pace(root)
    assert machine.processor == "Some Xeon" and machine.mhz == 4100
    assert machine.governors == ("performance", "powersave")
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.board is None and machine.power_mode is None
    assert now == Pace(0.42, (1200.0, 3500.0), {"clocks.sm": "1755", "clocks.mem": "2619", "pstate": "P0"})
    assert now.line() == "load 0.42, cores at 1200 to 3500 MHz, GPU at 1755 MHz, P0"
    processor, card = machine.lines()
    assert "Some Xeon" in processor and "4100 MHz" in processor and "performance and powersave" in processor
    assert card == "NVIDIA H100 80GB HBM3, driver 560.35.03, GPU up to 1980 MHz, limit 700.00 W"


def test_a_jetson(tree, program):
    program("nvpmodel", "echo 'NV Power Mode: 15W'; echo 0")
    program("nvidia-smi", "echo '[N/A], 540.3.0, [N/A], [N/A]'")
    machine, now = describe(root := tree(JETSON)), pace(root)
    assert machine.board == "NVIDIA Jetson Orin Nano Developer Kit" and machine.power_mode == "15W"
    assert machine.gpu == {"driver_version": "540.3.0", "clocks.max.sm": "625", "governor": "nvhost_podgov"}
    assert now.gpu == {"clocks.sm": "306"} and now.mhz == (729.6, 729.6)
    assert machine.lines()[0] == "NVIDIA Jetson Orin Nano Developer Kit, power mode 15W"
    assert "cores at 730 MHz" in now.line() and "GPU at 306 MHz" in now.line()


def test_a_virtual_machine_tells_its_clock_in_proc(tree, program):
    root = tree({"proc/cpuinfo": "model name : Xeon\ncpu MHz : 2299.998\ncpu MHz : 2300.1", "proc/loadavg": "0.1 0 0"})
    assert pace(root).mhz == (2299.998, 2300.1)
    assert describe(root).governors == () and describe(root).mhz is None


def test_a_machine_that_tells_nothing(tree, program, tmp_path):
    machine, now = describe(tmp_path / "nowhere"), pace(tmp_path / "nowhere")
    assert machine.processor and machine.gpu == {} and machine.mhz is None
    assert now == Pace(None, None, {}) and now.line() == "unknown"
    assert isinstance(machine, Machine) and len(machine.lines()) == 1
