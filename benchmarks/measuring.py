"""What the benchmarks share: ways by turns in one run, the machine's limits, a report with device and commit."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Way = Callable[[], object]


def arguments(what: str | None, *, threads: int = 2, rounds: int = 15) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    return parser


def medians(ways: Mapping[str, Way], rounds: int) -> dict[str, float]:
    """Seconds. Each way runs once before it counts; then they take turns, so that a busy moment meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for counted in [False] + [True] * rounds:
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            if counted:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(taken) for name, taken in times.items()}


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of a copy of 64 MiB by one thread."""
    source = np.ones(1 << 26, np.uint8)  # zeros could all be one page
    target = np.empty_like(source)
    return 2 * source.nbytes / medians({"copy": lambda: np.copyto(target, source)}, 7)["copy"]


def processor() -> str:
    """The processor's name where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """Of the checkout that this file lies in, with "+changes" where something is not committed."""
    answers = [
        subprocess.run(["git", *command], capture_output=True, text=True, check=False, cwd=Path(__file__).parent).stdout
        for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    ]
    return (answers[0].strip() or "unknown") + ("+changes" if answers[1].strip() else "")


def write(path: Path | None, device: str, figures: Mapping[str, Any]) -> None:
    """The figures as JSON, with what they were measured on and from; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"device": device, "commit": commit(), **figures}, indent=1) + "\n")
