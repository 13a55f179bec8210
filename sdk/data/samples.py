"""One image of a data set, and the data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgead.data.images import Mask

GOOD = "good"
BAD = "bad"
"""The defect of a bad part of which nobody has said more."""


@dataclass(frozen=True)
class Sample:
    """One image: a file, or one of many in an array file. `edgead.data.loading.read_sample` gives its pixels.

    path: the file. name: unique in its data set and the same on every machine; for an image file its posix path
    relative to the root. category: what the part is ("screw"). defect: "good", or the name of the defect. mask: where
    the defect is, if somebody has painted it. index: which of the images in an array file, from 0; None where the file
    is the image.
    """

    path: Path
    name: str
    category: str
    defect: str
    mask: Mask | None = None
    index: int | None = None

    @property
    def anomalous(self) -> bool:
        """Whether the part is known to be bad."""
        return self.defect != GOOD


@dataclass(frozen=True)
class Dataset:
    """train: images of good parts. test: images of parts known to be good or bad, maybe none. Both sorted by name."""

    root: Path
    categories: tuple[str, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]


def by_name(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The samples, sorted by name."""
    return tuple(sorted(samples, key=lambda sample: sample.name))


def samples_of(root: Path, images: Iterable[Path], category: str, defect: str) -> tuple[Sample, ...]:
    """Image files below `root` as samples of one kind."""
    return tuple(Sample(path, path.relative_to(root).as_posix(), category, defect) for path in images)
