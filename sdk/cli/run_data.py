"""The images that belong to a training run, found again."""

from __future__ import annotations

from pathlib import Path

from edgead.data.folders import folders_in
from edgead.data.images import find_images
from edgead.data.layout import Dataset, read_dataset, split_validation
from edgead.data.samples import BAD, GOOD, Sample, samples_of
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
    """The images of bad parts in a folder: all of a folder that holds nothing else, or those that a data folder has
    labelled as such; none where no folder is named."""
    if folder is None:
        return ()
    if folder.resolve().name.casefold() == GOOD:
        raise DataError("these are images of good parts", folder, "give those of bad parts")
    if folder.is_dir() and not folders_in(folder):
        return samples_of(folder, find_images(folder), folder.resolve().name, BAD)
    found = tuple(sample for sample in read_dataset(folder).test if sample.anomalous)
    if not found:
        raise DataError("there are no images of defects", folder, "add `bad`, or test/<defect> folders")
    return found
