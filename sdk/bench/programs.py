"""What other programs of the machine know of it: NVIDIA's `nvidia-smi`, and `nvpmodel` on a Jetson."""

from __future__ import annotations

import os
import subprocess

_SECONDS = 10.0  # without a process that holds the driver, nvidia-smi takes seconds to start it
_MODE = "NV Power Mode:"


def nvidia_smi(*fields: str) -> dict[str, str]:
    """Fields of `nvidia-smi --query-gpu` that it knows of the GPU in use, without their units. Those that the GPU does
    not have are left out; nothing where the program is missing, fails, or takes more than ten seconds.

    The GPU is the first that CUDA_VISIBLE_DEVICES names; its numbers are those of `nvidia-smi` where
    CUDA_DEVICE_ORDER=PCI_BUS_ID, and wherever there is one GPU.
    """
    which = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip() or "0"
    query = (f"--id={which}", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
    values = [value.strip() for value in _answer("nvidia-smi", *query).strip().split(",")]
    if len(values) != len(fields):
        return {}
    known = zip(fields, values, strict=True)
    return {name: value for name, value in known if value and value != "N/A" and not value.startswith("[")}


def power_mode() -> str | None:
    """A Jetson's power mode, such as `MAXN` or `15W`; None on every other machine."""
    lines = _answer("nvpmodel", "-q").splitlines()
    return next((line.partition(_MODE)[2].strip() for line in lines if _MODE in line), None)


def _answer(*command: str) -> str:
    """What a program prints, or nothing where it cannot be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
