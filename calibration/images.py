"""Which images play which role: those that set the ranges never judge the result."""

from __future__ import annotations

from dataclasses import dataclass

from edgead.calibration.selection import shuffled
from edgead.data.layout import Dataset, Sample, split_validation
from edgead.manifest import Manifest


@dataclass(frozen=True)
class Roles:
    """calibration: normal images that may set the INT8 ranges; a CalibrationSet says which do. validation: normal
    images, held out in training too, on which thresholds are fitted. test: labelled images for the comparison; empty
    where the data has none."""

    calibration: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


def assign_roles(dataset: Dataset, manifest: Manifest) -> Roles:
    """Split a data set as the training did; those that may calibrate are in a random order of its seed."""
    seed, share = int(manifest.training.get("seed", 0)), float(manifest.training.get("validation", 0.2))
    train, validation = split_validation(dataset.train, share, seed)
    return Roles(tuple(shuffled(train, seed)), tuple(validation), dataset.test)
