"""The precisions of a bundle beside each other on this machine's engine: one image at a time, by turns.

python benchmarks/precisions.py part.edgead [--rounds 200]
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack

import numpy as np

from edgead.bundle import read_bundle
from edgead.loading import load

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    with ExitStack() as stack:
        precisions = read_bundle(given.bundle).manifest.variants
        detectors = {name: stack.enter_context(load(given.bundle, precision=name)) for name in precisions}
        first = next(iter(detectors.values()))
        image = np.random.default_rng(0).integers(0, 256, (1, first.height, first.width, 3), np.uint8)
        times: dict[str, list[float]] = {name: [] for name in detectors}
        for _ in range(given.rounds):
            for name, detector in detectors.items():
                begin = time.perf_counter()
                detector.engine.infer(image)
                times[name].append(time.perf_counter() - begin)
    reference = statistics.median(times["fp32"])
    for name, taken in times.items():
        ratio = statistics.median(taken) / reference
        print(f"{name}: {ratio:.2f} times the time of fp32 on {first.engine.name}, median of {given.rounds}")
