"""What nvcc makes of the kernels: no spills, and where bits are promised nothing that rounds in its own way."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "kernels/cuda").glob("*.cu"))
INEXACT = {"neighbor_masked_attention"}  # as in CMakeLists.txt
ARCHITECTURES = (75, 80, 87, 90, 100, 110, 120)
FREE = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"


def compiled(source, target, *flags):
    """What nvcc says. Flags are those of CMakeLists.txt."""
    nvcc = shutil.which("nvcc") or pytest.skip("there is no nvcc")
    fused = "true" if source.stem in INEXACT else "false"
    fixed = [
        nvcc,
        "-std=c++17",
        "-O3",
        f"-fmad={fused}",
        f"-I{ROOT / 'kernels/include'}",
        str(source),
        "-o",
        str(target),
    ]
    done = subprocess.run([*fixed, *flags], check=True, capture_output=True, text=True, timeout=900)
    return done.stdout + done.stderr


def architectures():
    nvcc = shutil.which("nvcc") or pytest.skip("there is no nvcc")
    listed = subprocess.run([nvcc, "--list-gpu-arch"], check=True, capture_output=True, text=True).stdout.split()
    return [arch for arch in ARCHITECTURES if f"compute_{arch}" in listed]


def test_the_flags_are_those_of_the_build():
    build = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"set\(EDGEAD_INEXACT ([^)]*)\)", build)[1].split() == sorted(INEXACT)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_no_kernel_spills_registers_or_uses_local_memory(source, tmp_path):
    known = architectures()
    targets = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in known]
    report = compiled(source, tmp_path / "object.o", "-c", "-Xptxas", "-v", "--threads", "0", *targets)
    kernels = report.count("Compiling entry function")
    assert kernels >= source.read_text().count("__global__") * len(known), report
    assert report.count("bytes stack frame") == report.count(FREE) == kernels, report


@pytest.mark.parametrize("source", [s for s in SOURCES if s.stem not in INEXACT], ids=lambda source: source.stem)
def test_where_bits_are_promised_nothing_is_fused_or_approximated(source, tmp_path):
    for arch in architectures():
        compiled(source, tmp_path / "kernel.ptx", "-ptx", f"-arch=compute_{arch}")
        text = (tmp_path / "kernel.ptx").read_text()
        rounding = set(re.findall(r"\b(?:fma|mad|div|rcp|sqrt|ex2|lg2|sin|cos)\.[a-z.]*f32\b", text))
        assert rounding <= {"div.rn.f32", "rcp.rn.f32", "sqrt.rn.f32"}, arch  # each rounded once, as IEEE 754 says
        assert ".ftz" not in text, arch


def test_ciede2000_reads_and_writes_16_bytes_at_a_time(tmp_path):
    compiled(ROOT / "kernels/cuda/ciede2000.cu", tmp_path / "kernel.ptx", "-ptx", "-arch=compute_87")
    text = (tmp_path / "kernel.ptx").read_text()
    assert "ld.global.nc.v4" in text and "st.global.v4" in text
