"""A native test with the CPU's arrangement as one program of its own, for other instruction sets and processors."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-pthread")
INSTRUCTION_SETS = [
    ("-msse2", {"sse2"}),
    ("-mavx2", {"avx2"}),
    ("-march=haswell", {"avx2", "fma", "bmi2"}),  # FMA is there and must not be used
    ("-march=skylake-avx512", {"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"}),
]
"""Flags of the compiler, and what the processor needs for it."""


def built(operator: str, folder: Path, compiler: str, *flags: str) -> Path:
    """tests/kernels/test_<operator>.cpp and kernels/cpu/<operator>.cpp."""
    sources = (ROOT / f"tests/kernels/test_{operator}.cpp", ROOT / f"kernels/cpu/{operator}.cpp")
    program = folder / f"test_{operator}"
    command = [compiler, *FLAGS, *flags, f"-I{ROOT / 'kernels/include'}", *map(str, sources), "-o", str(program)]
    subprocess.run(command, check=True, timeout=300)
    return program


def digest(*command: object) -> str:
    """The hash of the bits of what the program computes, after all comparisons inside it have passed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"bits ([0-9a-f]{16})", done.stdout)
    assert found, done.stdout
    return found[1]


def digest_here(operator: str, folder: Path) -> str:
    """With the clones that this processor takes."""
    compiler = shutil.which("c++") or pytest.skip("there is no C++ compiler")
    return digest(built(operator, folder, compiler))


def digest_with(operator: str, folder: Path, flag: str, needed: set[str]) -> str:
    """Compiled for one instruction set. Skips the test where the processor lacks it."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this is no x86-64")
    if not needed <= set(Path("/proc/cpuinfo").read_text().split()):
        pytest.skip(f"this processor lacks one of {', '.join(sorted(needed))}")
    compiler = shutil.which("c++") or pytest.skip("there is no C++ compiler")
    return digest(built(operator, folder, compiler, "-DEDGEAD_CLONES=", flag))


def digest_on_arm(operator: str, folder: Path) -> str:
    """On an emulated processor."""
    compiler = shutil.which("aarch64-linux-gnu-g++") or pytest.skip("there is no aarch64-linux-gnu-g++")
    emulator = shutil.which("qemu-aarch64") or pytest.skip("there is no qemu-aarch64")
    return digest(emulator, built(operator, folder, compiler, "-static"))
