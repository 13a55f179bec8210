"""What a machine says of itself: what it is, how it is set, and how fast it runs at the moment."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgead.bench.programs import nvidia_smi, power_mode

_CPU = "sys/devices/system/cpu/cpu[0-9]*/cpufreq"
_GPUS = ("gpu", "ga10b", "gv11b", "gp10b")  # the names of a Jetson's GPU in its device tree


@dataclass(frozen=True)
class Machine:
    """What does not change while something is measured; None and nothing where the machine does not tell.

    board: a Jetson's or another board's model. cores: those that this process may use. governors: of the cores' clocks.
    mhz: the fastest that a core may run. power_mode: a Jetson's. gpu: `name`, `driver_version`, `power.limit` (watts),
    `clocks.max.sm` (MHz) by `nvidia-smi`, or of a Jetson's GPU `clocks.max.sm` and its `governor`.
    """

    board: str | None
    processor: str
    cores: int
    governors: tuple[str, ...]
    mhz: float | None
    power_mode: str | None
    gpu: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        told = [
            self.processor,
            f"{self.cores} cores",
            f"up to {self.mhz:.0f} MHz" if self.mhz else "",
            f"governor {' and '.join(self.governors)}" if self.governors else "",
        ]
        lines = [", ".join(word for word in told if word)]
        mode = f"power mode {self.power_mode}" if self.power_mode else ""
        if self.board or mode:
            lines.insert(0, ", ".join(word for word in (self.board, mode) if word))
        if self.gpu:
            lines.append(", ".join(word.format(self.gpu[key]) for key, word in _GPU_WORDS.items() if key in self.gpu))
        return lines


_GPU_WORDS = {
    "name": "{}",
    "driver_version": "driver {}",
    "clocks.max.sm": "GPU up to {} MHz",
    "power.limit": "limit {} W",
    "governor": "governor {}",
}


@dataclass(frozen=True)
class Pace:
    """How fast the machine runs at a moment. load: processes that want a core, mean of the last minute. mhz: of the
    slowest and the fastest core. gpu: `clocks.sm`, `clocks.mem` (MHz) and `pstate` by `nvidia-smi`, or a Jetson's
    `clocks.sm`."""

    load: float | None
    mhz: tuple[float, float] | None
    gpu: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def line(self) -> str:
        """For people."""
        clocks = " to ".join(dict.fromkeys(f"{mhz:.0f}" for mhz in self.mhz or ()))
        told = [
            f"load {self.load:.2f}" if self.load is not None else "",
            f"cores at {clocks} MHz" if clocks else "",
            f"GPU at {self.gpu['clocks.sm']} MHz" if "clocks.sm" in self.gpu else "",
            self.gpu.get("pstate", ""),
        ]
        return ", ".join(word for word in told if word) or "unknown"


def describe(root: Path = Path("/")) -> Machine:
    """This machine. root: where `sys` and `proc` are."""
    highest = [mhz for mhz in _each(root, "cpuinfo_max_freq") if mhz]
    governors = {_text(folder / "scaling_governor") for folder in root.glob(_CPU)}
    gpu = nvidia_smi("name", "driver_version", "power.limit", "clocks.max.sm")
    return Machine(
        board=_text(root / "proc/device-tree/model") or None,
        processor=_processor(root),
        cores=len(os.sched_getaffinity(0)),
        governors=tuple(sorted(governors - {""})),
        mhz=max(highest, default=None),
        power_mode=power_mode(),
        gpu={**_jetson_gpu(root, {"max_freq": "clocks.max.sm", "governor": "governor"}), **gpu},
    )


def pace(root: Path = Path("/")) -> Pace:
    """This machine now. root: where `sys` and `proc` are."""
    load = _text(root / "proc/loadavg").split()
    now = [mhz for mhz in _each(root, "scaling_cur_freq") if mhz] or _clocks_of_proc(root)
    gpu = nvidia_smi("clocks.sm", "clocks.mem", "pstate")
    return Pace(
        load=float(load[0]) if load else None,
        mhz=(min(now), max(now)) if now else None,
        gpu={**_jetson_gpu(root, {"cur_freq": "clocks.sm"}), **gpu},
    )


def _processor(root: Path) -> str:
    """The processor's name where the system tells it."""
    names = _of_proc(root, "model name")
    return names[0] if names else platform.processor() or platform.machine()


def _clocks_of_proc(root: Path) -> list[float]:
    """MHz of every core, of a virtual machine that has no say in them."""
    return [float(mhz) for mhz in _of_proc(root, "cpu MHz")]


def _of_proc(root: Path, key: str) -> list[str]:
    lines = _text(root / "proc/cpuinfo").splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]


def _each(root: Path, name: str) -> list[float]:
    """MHz of every core from a file of kHz."""
    told = [_text(folder / name) for folder in root.glob(_CPU)]
    return [int(khz) / 1e3 for khz in told if khz.isdecimal()]


def _jetson_gpu(root: Path, files: dict[str, str]) -> dict[str, str]:
    """Files of the GPU's folder, under the names they are given here; MHz where the file says Hz."""
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        if _text(folder / "device/of_node/name") in _GPUS:
            told = {name: _text(folder / file) for file, name in files.items()}
            return {name: f"{int(word) / 1e6:.0f}" if word.isdecimal() else word for name, word in told.items() if word}
    return {}


def _text(path: Path) -> str:
    """What a file of the system says, without the zero at its end; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip(" \n\0")
    except OSError:
        return ""
