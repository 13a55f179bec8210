"""What the GPU benchmark of neighbour-masked attention counts, as far as it needs no GPU."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgead.kernels import reference

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("neighbor_masked_attention_gpu")


def test_its_mask_is_that_of_the_oracle(benchmark):
    """With values that say which key they are, and equal scores, an answer is the share of the keys that are seen."""
    problem = benchmark.problem_of(1, 14)
    shape = (1, 196, benchmark.HEADS * benchmark.DIM)
    values = np.zeros(shape)
    values[0, :196] = np.eye(196, shape[2])
    options = {"num_heads": 1, "height": 14, "width": 14, "neighbor_height": 7, "neighbor_width": 7}
    seen = reference.neighbor_masked_attention(np.zeros(shape), np.zeros(shape), values, **options)[0, :, :196] > 0
    assert np.array_equal(benchmark.mask_of(problem, "cpu").numpy(), seen)


def test_what_it_counts(benchmark):
    torch = pytest.importorskip("torch")
    problem = benchmark.problem_of(16, 14)
    assert benchmark.operations(problem) == 16 * 8 * 196 * 196 * (2 * 32 + 2 * 32)
    assert benchmark.size(problem, torch.float16) == 4 * 16 * 196 * 256 * 2
    assert benchmark.floor(problem, torch.float16, 1e15, 1e12) == pytest.approx(1e6 * 4 * 16 * 196 * 256 * 2 / 1e12)
    assert benchmark.floor(problem, torch.float16, 1e12, 1e15) == pytest.approx(1e6 * 16 * 8 * 196**2 * 128 / 1e12)


def test_it_says_what_it_takes():
    pytest.importorskip("torch")
    command = [sys.executable, str(FOLDER / "neighbor_masked_attention_gpu.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "--rounds" in done.stdout, done.stderr
