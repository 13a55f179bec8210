"""One training epoch of UniAD with the features kept and with the backbone in the loop, by turns in one run.

python benchmarks/features.py --data DIR --weights PATH [--backbone mobilenet_v2] [--images 64] [--rounds 3] [--compact]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from edgead.data.layout import read_dataset
from edgead.training.fit import fit, fit_options

COMPACT = {"hidden": 128, "feed_forward": 512, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.0}


def epoch_seconds(samples: list, model: dict, weights: str, features: str, threads: int, epochs: int = 3) -> float:
    """The difference between trainings of `epochs` and of 1 epoch, for each epoch more: start-up and the one-time
    computation of features drop out."""
    seconds = []
    for count in (1, epochs):
        with tempfile.TemporaryDirectory() as folder:
            options = fit_options("uniad", epochs=count, features=features, validation=0.1, threads=threads)
            begin = time.perf_counter()
            fit(
                "uniad",
                samples,
                Path(folder) / "run",
                model_options=model,
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
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compact", action="store_true", help="the small transformer that the README trains on a CPU")
    given = parser.parse_args()
    model = {"backbone": given.backbone, **(COMPACT if given.compact else {})}
    samples = list(read_dataset(given.data).train[: given.images])
    kept, looped = [], []
    for _ in range(given.rounds):
        kept.append(epoch_seconds(samples, model, given.weights, "memory", given.threads))
        looped.append(epoch_seconds(samples, model, given.weights, "off", given.threads))
        ratio = looped[-1] / kept[-1]
        print(f"kept {kept[-1]:.2f} s, in the loop {looped[-1]:.2f} s an epoch: {ratio:.2f} times", flush=True)
    ratio = statistics.median(looped) / statistics.median(kept)
    print(f"{given.backbone}, {len(samples)} images, median: {ratio:.2f} times")
