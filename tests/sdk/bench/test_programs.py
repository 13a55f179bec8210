"""Programs of the machine: what they say, and what happens where they say nothing."""

from __future__ import annotations

import time

import pytest

from edgead.bench import programs
from edgead.bench.programs import nvidia_smi, power_mode


def test_fields_come_back_by_name_without_those_that_the_gpu_lacks(program, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program("nvidia-smi", 'echo "$@" > $(dirname $0)/asked; echo "NVIDIA H100, 412.5, [N/A], N/A, [Not Supported], P0"')
    fields = ("name", "power.draw", "clocks.sm", "clocks.mem", "fan.speed", "pstate")
    assert nvidia_smi(*fields) == {"name": "NVIDIA H100", "power.draw": "412.5", "pstate": "P0"}


@pytest.mark.parametrize(("visible", "asked"), [("", "0"), ("2,3", "2"), ("GPU-8a56", "GPU-8a56")])
def test_the_gpu_in_use_is_asked(program, monkeypatch, tmp_path, visible, asked):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    program("nvidia-smi", f'echo "$@" > {tmp_path}/asked; echo "1980"')
    assert nvidia_smi("clocks.sm") == {"clocks.sm": "1980"}
    words = (tmp_path / "asked").read_text().split()
    assert words == [f"--id={asked}", "--query-gpu=clocks.sm", "--format=csv,noheader,nounits"]


@pytest.mark.parametrize("script", ["exit 9", "echo one, two, three", "echo", "echo 400; exit 1"])
def test_nothing_comes_of_a_program_that_fails_or_says_something_else(program, script):
    program("nvidia-smi", script)
    assert nvidia_smi("power.draw") == {}


def test_nothing_comes_of_a_program_that_is_missing_or_hangs(program, monkeypatch):
    assert nvidia_smi("power.draw") == {} and power_mode() is None
    monkeypatch.setattr(programs, "_SECONDS", 0.1)
    program("nvidia-smi", "exec sleep 30")
    begin = time.monotonic()
    assert nvidia_smi("power.draw") == {}
    assert time.monotonic() - begin < 20


def test_the_power_mode_of_a_jetson(program):
    program("nvpmodel", 'test "$1" = -q && printf "NVPM WARN: fan mode is not set\\nNV Power Mode: MODE_15W\\n2\\n"')
    assert power_mode() == "MODE_15W"
    program("nvpmodel", "echo 'NVPM ERROR: no such file'")
    assert power_mode() is None
