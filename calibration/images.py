"""Which images play which role: those that set the ranges never judge the result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from edgead.data.layout import Dataset, Sample, split_validation
from edgead.errors import CalibrationError
from edgead.manifest import Manifest


@dataclass(frozen=True)
class Roles:
    """calibration: normal images that set the INT8 ranges. validation: normal images, held out in training too, on
    which thresholds are fitted. test: labelled images for the comparison; empty where the data has none."""

    calibration: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


def assign_roles(dataset: Dataset, manifest: Manifest, size: int) -> Roles:
    """Split a data set as the training did, and draw `size` calibration images from the training half, by the
    training's seed."""
    seed, share = int(manifest.training.get("seed", 0)), float(manifest.training.get("validation", 0.2))
    train, validation = split_validation(dataset.train, share, seed)
    return Roles(draw(train, size, seed), tuple(validation), dataset.test)


def draw(samples: Sequence[Sample], size: int, seed: int) -> tuple[Sample, ...]:
    """`size` of the samples at random, or all where there are fewer; the order and the choice depend on names and seed
    alone."""
    if size < 1:
        raise CalibrationError(
            f"{size} calibration images are too few", "calibration", "take at least 1; 128 are usual"
        )
    ordered = sorted(samples, key=lambda sample: hashlib.sha256(f"calibration/{seed}/{sample.name}".encode()).digest())
    return tuple(ordered[:size])
