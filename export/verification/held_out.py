"""The images that judge an engine: labelled ones, or good ones beside copies with painted defects."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.calibration.images import Roles
from edgead.data.images import read_mask
from edgead.data.loading import load_images
from edgead.data.samples import Sample
from edgead.manifest import Manifest
from edgead.progress import Progress, silent
from edgead.synthetic.painted import paint

MOST_PAINTED = 64
"""Copies with painted defects: beside as many good images, 4096 pairs to put in order."""
PAINTED = " (painted)"
"""What the name of such a copy has behind that of its original."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """N images that trained nothing, calibrated nothing and set no threshold but their own, good ones first.

    names: of their files. images: uint8 [N, H, W, 3], RGB, as the graph reads them. anomalous: bool [N]. masks: bool
    [N, H, W], where they are defective; masked: bool [N], of which images that is known. painted: whether the defects
    were painted, as nobody has photographed any. kinds: the class of each image and what it
    shows, `good` or a kind of defect; empty where nobody parts them.
    """

    names: tuple[str, ...]
    images: NDArray[np.uint8]
    anomalous: NDArray[np.bool_]
    masks: NDArray[np.bool_]
    masked: NDArray[np.bool_]
    painted: bool
    kinds: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, rows: NDArray[np.bool_]) -> HeldOut:
        """Some of the images."""
        return HeldOut(
            tuple(itertools.compress(self.names, rows)),
            self.images[rows],
            self.anomalous[rows],
            self.masks[rows],
            self.masked[rows],
            self.painted,
            tuple(itertools.compress(self.kinds, rows)),
        )

    @property
    def good(self) -> slice:
        """The good images."""
        return slice(0, int(np.count_nonzero(~self.anomalous)))

    def spread(self, count: int) -> NDArray[np.uint8]:
        """`count` of the images, or all where there are fewer, evenly over good and bad ones."""
        places = np.linspace(0, len(self.images) - 1, min(count, len(self.images)))
        return np.asarray(self.images[places.astype(int)])


def hold_out(roles: Roles, manifest: Manifest, progress: Progress = silent) -> HeldOut:
    """The test images, the good ones of validation where there are no others; where there are no bad ones, defects are
    painted on copies of good ones, the same for the same seed of the training."""
    good = [sample for sample in roles.test if not sample.anomalous] or list(roles.validation)
    bad = [sample for sample in roles.test if sample.anomalous]
    images = load_images([*good, *bad], manifest.height, manifest.width, progress)
    if bad:
        return _labelled(good, bad, images)
    return _painted(good, images, int(manifest.training.get("seed", 0)))


def _labelled(good: Sequence[Sample], bad: Sequence[Sample], images: NDArray[np.uint8]) -> HeldOut:
    height, width = images.shape[1:3]
    masks = np.zeros((len(images), height, width), bool)
    for row, sample in enumerate(bad, len(good)):
        if sample.mask:
            masks[row] = read_mask(sample.mask, height, width)
    anomalous = np.arange(len(images)) >= len(good)
    masked = np.array([not sample.anomalous or sample.mask is not None for sample in (*good, *bad)], bool)
    names, kinds = tuple(sample.name for sample in (*good, *bad)), tuple(map(_kind, (*good, *bad)))
    return HeldOut(names, images, anomalous, masks, masked, painted=False, kinds=kinds)


def _painted(good: Sequence[Sample], images: NDArray[np.uint8], seed: int) -> HeldOut:
    names, kinds = [sample.name for sample in good], [_kind(sample) for sample in good]
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(images))[:MOST_PAINTED])
    pairs = [paint(images[index], random) for index in chosen]
    masks = np.concatenate([np.zeros(images.shape[:3], bool), np.stack([mask for _, mask in pairs])])
    return HeldOut(
        (*names, *(f"{names[index]}{PAINTED}" for index in chosen)),
        np.concatenate([images, np.stack([painted for painted, _ in pairs])]),
        np.arange(len(masks)) >= len(images),
        masks,
        np.ones(len(masks), bool),
        painted=True,
        kinds=(*kinds, *((kinds[index][0], "painted") for index in chosen)),
    )


def _kind(sample: Sample) -> tuple[str, str]:
    return sample.category, sample.defect
