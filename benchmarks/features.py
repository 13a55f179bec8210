"""One training epoch of UniAD with the features kept and with the backbone in the loop, by turns in one run.

python benchmarks/features.py --data DIR --weights PATH [--backbone mobilenet_v2] [--images 64] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from edgead.data.layout import read_dataset
from edgead.training.fit import fit, fit_options


def epoch_seconds(samples: list, backbone: str, weights: str, features: str, epochs: int = 3) -> float:
    """The difference between trainings of `epochs` and of 1 epoch, for each epoch more: start-up and the one-time
    computation of features drop out."""
    seconds = []
    for count in (1, epochs):
        with tempfile.TemporaryDirectory() as folder:
            options = fit_options("uniad", epochs=count, features=features, validation=0.1)
            begin = time.perf_counter()
            fit(
                "uniad",
                samples,
                Path(folder) / "run",
                model_options={"backbone": backbone},
                options=options,
                weights=weights,
            )
            seconds.append(time.perf_counter() - begin)
    return (seconds[1] - seconds[0]) / (epochs - 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", default="none")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    samples = list(read_dataset(given.data).train[: given.images])
    kept, looped = [], []
    for _ in range(given.rounds):
        kept.append(epoch_seconds(samples, given.backbone, given.weights, "memory"))
        looped.append(epoch_seconds(samples, given.backbone, given.weights, "off"))
        ratio = looped[-1] / kept[-1]
        print(f"kept {kept[-1]:.2f} s, in the loop {looped[-1]:.2f} s an epoch: {ratio:.2f} times", flush=True)
    ratio = statistics.median(looped) / statistics.median(kept)
    print(f"{given.backbone}, {len(samples)} images, median: {ratio:.2f} times")
