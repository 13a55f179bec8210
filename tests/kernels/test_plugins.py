"""The TensorRT plugins without TensorRT: its headers are enough to make them, and to run them on emulated kernels."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgead.kernels import library

ROOT = Path(__file__).parents[2]
ORDERS = ("forward", "backward", "7")  # in which the threads of a block take turns


@pytest.fixture(scope="module")
def program(tensorrt_headers, emulated_library, tmp_path_factory) -> Path:
    """test_plugins.cpp with the plugins, the emulated CUDA library and the CPU library."""
    nvcc = shutil.which("nvcc") or pytest.skip("there is no nvcc, whose headers TensorRT's include")
    native = library.find("libedgead.so") or pytest.skip("the native library was not built")
    target = tmp_path_factory.mktemp("plugins") / "test_plugins"
    checks = "-Xcompiler=-Wall,-Wextra,-Werror,-fsanitize=undefined,-fno-sanitize-recover=all"
    places = ["-isystem", tensorrt_headers, f"-I{ROOT / 'kernels/include'}"]
    sources = [ROOT / "tests/kernels/test_plugins.cpp", ROOT / "kernels/plugin/plugins.cpp"]
    linked = [word for path in (emulated_library, native) for word in (path, f"-Xlinker=-rpath={path.parent}")]
    command = [nvcc, "-std=c++17", "-O1", checks, *places, *sources, *linked, "-cudart", "none", "-o", target]
    subprocess.run([str(word) for word in command], check=True, timeout=300)
    return target


@pytest.mark.parametrize("order", ORDERS)
def test_plugins_are_made_serialised_and_run(program, order):
    environment = {**os.environ, "EDGEAD_ORDER": order}
    done = subprocess.run([program], capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all passed" in done.stdout
