"""Which mask belongs to which image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgead.data.images import LabelMask, find_images
from edgead.data.samples import Sample
from edgead.errors import DataError


def with_masks(
    samples: Sequence[Sample], folder: Path, *, ending: str = "_mask", labels: bool = False
) -> Sequence[Sample]:
    """Give each image of one folder its mask from another; `samples` is not empty.

    A mask is called like its image, with `ending` after the stem. labels: the masks are painted in labels, not in
    white. Images may lack a mask, and where `folder` does not exist they all do. Raises DataError for a mask that lacks
    its image, and for two that would be each other's.
    """
    if not folder.is_dir():
        return samples
    by_stem: dict[str, Sample] = {}
    for sample in samples:
        if sample.path.stem in by_stem:
            todo = "rename one of them, as a mask is found by its image's name without the suffix"
            raise DataError(f"two images are called {sample.path.stem}", sample.path.parent, todo)
        by_stem[sample.path.stem] = sample
    masks: dict[str, Path] = {}
    for mask in find_images(folder):
        stem = mask.stem.removesuffix(ending)
        if not mask.stem.endswith(ending) or stem not in by_stem:
            todo = f"name masks after their images: {samples[0].path.stem}{ending}.png"
            raise DataError("the mask belongs to no image", mask, todo)
        if stem in masks:
            raise DataError("a second mask of the same image", mask, "keep one of them")
        masks[stem] = mask
    return [
        replace(sample, mask=LabelMask(masks[stem]) if labels else masks[stem])
        if sample.anomalous and stem in masks  # every pixel of a good part is good
        else sample
        for stem, sample in by_stem.items()
    ]
