"""What the benchmarks on a GPU share: medians of CUDA events, and the device's own limits."""

from __future__ import annotations

import ctypes
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch


def milliseconds(way: Callable[[], object], rounds: int = 50) -> float:
    """The median of single runs, after five that do not count. What the caches of the device hold, they keep."""
    for _ in range(5):
        way()
    taken = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        way()
        end.record()
        end.synchronize()
        taken.append(begin.elapsed_time(end))
    return statistics.median(taken)


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of a copy of 512 MiB within the device."""
    source = torch.empty(1 << 29, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2e3 * source.numel() / milliseconds(lambda: target.copy_(source))


def arithmetic_ceiling() -> float | None:
    """Products and sums of float32 a second where none are fused; None without an nvcc to build `ceilings.cu`."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ceilings.so"
        flags = ["-shared", "-O3", "-fmad=false", "-arch=native", "-Xcompiler", "-fPIC"]
        source = Path(__file__).with_name("ceilings.cu")
        subprocess.run([nvcc, *flags, str(source), "-o", str(path)], check=True)
        library = ctypes.CDLL(str(path))
    library.run_chains.restype = ctypes.c_double
    blocks = 32 * torch.cuda.get_device_properties(0).multi_processor_count
    out = torch.empty(blocks * 256, device="cuda")
    done: list[float] = []

    def run() -> None:
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        done.append(library.run_chains(ctypes.c_void_p(out.data_ptr()), blocks, stream))

    taken = milliseconds(run)
    return 1e3 * done[-1] / taken
