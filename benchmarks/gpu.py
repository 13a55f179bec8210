"""A short training of LAMP on the GPU, timed. Needs a CUDA device and torch."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import torch

from edgead.data.layout import read_dataset
from edgead.synthetic import write_dataset
from edgead.training.fit import FitOptions, fit

EPOCHS = 20


def commit() -> str:
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def train(precision: str) -> float:
    """Seconds an epoch of LAMP at 256 px on 240 photos, start-up included."""
    with tempfile.TemporaryDirectory() as folder:
        root = write_dataset(Path(folder) / "flange", train=240, test_good=1, per_defect=1)
        options = FitOptions(epochs=EPOCHS, patience=EPOCHS, accelerator="cuda", devices="1", precision=precision)
        begin = time.perf_counter()
        fit("lamp", read_dataset(root).train, Path(folder) / "run", root=root, options=options)
        return (time.perf_counter() - begin) / EPOCHS


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    output = parser.parse_args().output
    seconds = {precision: round(train(precision), 3) for precision in ("32-true", "bf16-mixed")}
    figures = {"device": torch.cuda.get_device_name(), "commit": commit(), "lamp_seconds_per_epoch": seconds}
    output.write_text(json.dumps(figures, indent=1) + "\n")
    print(output.read_text())
