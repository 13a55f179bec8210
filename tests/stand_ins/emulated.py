"""The CUDA library's sources, compiled for the host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EMULATOR = ROOT / "tests/kernels/emulator"


def compile_emulated(folder: Path, sources: list[Path]) -> Path:
    """Device code, compiled for the host into a library."""
    compiler = shutil.which("c++") or pytest.skip("there is no C++ compiler")
    flags = ["-std=c++17", "-O2", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-pthread", "-DEDGEAD_EMULATED"]
    places = [f"-I{path}" for path in (ROOT / "kernels/include", ROOT / "kernels/cuda", EMULATOR)]
    together = [EMULATOR / "emulated_cuda.cpp", ROOT / "kernels/cuda/error.cu", *sources]
    target = folder / "libedgead_cuda.so"
    command = [compiler, *flags, "-shared", "-fvisibility=hidden", *places, "-x", "c++", *map(str, together)]
    subprocess.run([*command, "-o", str(target)], check=True, timeout=600)
    return target


@pytest.fixture(scope="session")
def emulated_library(tmp_path_factory) -> Path:
    """The CUDA library, emulated."""
    sources = [path for path in sorted((ROOT / "kernels/cuda").glob("*.cu")) if path.stem != "error"]
    return compile_emulated(tmp_path_factory.mktemp("emulated"), sources)
