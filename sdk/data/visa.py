"""VisA as it is published: Data/Images/Normal and Data/Images/Anomaly in each category, and masks painted in labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgead.data.folders import find_good, folders_in
from edgead.data.images import find_images
from edgead.data.masks import with_masks
from edgead.data.samples import BAD, GOOD, Sample, samples_of
from edgead.errors import DataError


def is_visa(folder: Path) -> bool:
    """Whether a category's folder has VisA's layout."""
    return (folder / "Data" / "Images").is_dir()


def read_visa(root: Path, folder: Path, category: str) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """The good and the bad images of a category; masks are `Data/Masks/Anomaly/<image's stem>.png`.

    Raises DataError where there are no normal images, for masks that belong to no image, and for folders of images that
    would be overlooked.
    """
    images, masks = folder / "Data" / "Images", folder / "Data" / "Masks" / "Anomaly"
    for other in folders_in(images):
        if other.name not in ("Normal", "Anomaly"):
            raise DataError("the images of this folder are not looked at", other, "call it Normal or Anomaly")
    good = samples_of(root, find_good(images / "Normal", category), category, GOOD)
    if not (images / "Anomaly").is_dir():
        if masks.is_dir():
            raise DataError("masks without images", masks, f"put the images into {images / 'Anomaly'}")
        return good, ()
    bad = samples_of(root, find_images(images / "Anomaly"), category, BAD)
    return good, with_masks(bad, masks, ending="", labels=True)
