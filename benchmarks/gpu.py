"""Short trainings of LAMP, UniAD and LEA-Net on the GPU, timed. Needs a CUDA device and torch."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measuring import write

from edgead.data.layout import read_dataset
from edgead.synthetic import write_dataset
from edgead.training.fit import fit, fit_options

EPOCHS = {"lamp": 20, "uniad": 20, "leanet": 20}
MODEL: dict[str, dict[str, Any]] = {"leanet": {"color_epochs": 1}}
WAYS: dict[str, dict[str, Any]] = {
    "32-true": {"precision": "32-true"},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "bf16-mixed, compiled": {"precision": "bf16-mixed", "compile": True},
}


def train(family: str, root: Path, **changes: Any) -> float:
    """Seconds an epoch on 240 photos: the difference between a long and a short training, so that start-up, features
    and compilation drop out."""
    seconds = []
    for epochs in (2, 2 + EPOCHS[family]):
        with tempfile.TemporaryDirectory() as folder:
            options = fit_options(family, epochs=epochs, patience=epochs, accelerator="cuda", devices="1", **changes)
            dataset = read_dataset(root)
            defects = [sample for sample in dataset.test if sample.anomalous] if family == "leanet" else []
            given: dict[str, Any] = {"model_options": MODEL.get(family), "options": options, "defects": defects}
            begin = time.perf_counter()
            fit(family, dataset.train, Path(folder) / "run", root=root, **given)
            seconds.append(time.perf_counter() - begin)
    return (seconds[1] - seconds[0]) / EPOCHS[family]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    output = parser.parse_args().output
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = write_dataset(Path(folder) / "flange", train=240, test_good=1, per_defect=8)
        for family in EPOCHS:
            figures[f"{family}_seconds_per_epoch"] = {
                name: round(train(family, root, **way), 3) for name, way in WAYS.items()
            }
    write(output, torch.cuda.get_device_name(), figures)
    print(output.read_text())
