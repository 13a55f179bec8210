"""How long `edgead --help` takes as a whole process: the median of ten, and of `python -c pass` by turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(*arguments: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


pairs = [(seconds("-m", "edgead.cli.main", "--help"), seconds("-c", "pass")) for _ in range(10)]
for name, times in zip(("edgead --help", "python -c pass"), zip(*pairs, strict=True), strict=True):
    print(f"{name:15} {statistics.median(times):.3f} s")
