"""The images that belong to a training run, found again."""

from __future__ import annotations

from pathlib import Path

from edgead.data.layout import Dataset, Sample, read_dataset, split_validation
from edgead.errors import DataError
from edgead.training.run import Run


def run_dataset(run: Run, data: Path | None) -> Dataset:
    """The data set of a run: where it was, or where `data` says it is now."""
    root = data or (Path(run.root) if run.root else None)
    if root is None:
        raise DataError("the run does not know its data folder", "run", "give it with --data")
    return read_dataset(root)


def validation_samples(run: Run, data: Path | None) -> tuple[Sample, ...]:
    """The normal images that the training held out."""
    dataset = run_dataset(run, data)
    return tuple(split_validation(dataset.train, run.fit["validation"], run.fit["seed"])[1])


def defects(folder: Path | None) -> tuple[Sample, ...]:
    """The images of defects in a folder with labels; none where no folder is named."""
    found = tuple(sample for sample in read_dataset(folder).test if sample.anomalous) if folder else ()
    if folder and not found:
        raise DataError("there are no images of defects", folder, "add `bad`, or test/<defect> folders")
    return found
