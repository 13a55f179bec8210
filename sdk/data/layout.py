"""Data folders: which images there are, what is known of each, and the seeded split."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgead.data.images import SUFFIXES, find_images
from edgead.errors import DataError

GOOD = "good"
GOOD_TEST_SHARE = 0.2
_LAYOUTS = "give a folder with train/good (and test/<defect>), one with good and bad, or one with images of good parts"


@dataclass(frozen=True)
class Sample:
    """One image file.

    name: posix path relative to the root of its data set. category: what the part is ("screw"). defect: "good", or the
    name of the defect. mask: where the defect is, if somebody has painted it.
    """

    path: Path
    name: str
    category: str
    defect: str
    mask: Path | None = None

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


def read_dataset(root: Path) -> Dataset:
    """Find the images of a data folder.

    - `train/good`, `test/<defect>`, `ground_truth/<defect>/<image's stem>_mask.png` (MVTec's layout);
    - `good` and `bad`, with the images of bad parts in `bad` itself or in `bad/<defect>`; where there are bad ones, a
      fixed 20 % of the good ones (at least 1) are kept for the test;
    - several such folders side by side, each one category;
    - images of good parts alone.

    Raises DataError for a missing folder, one without images, and masks that belong to no image.
    """
    if not root.is_dir():
        raise DataError("the data folder does not exist", root, _LAYOUTS)
    category = root.resolve().name or "parts"
    if _is_category(root):
        return _collect(root, {category: root})
    folders = {path.name: path for path in _folders(root) if _is_category(path)}
    if folders:
        return _collect(root, folders)
    try:
        images = find_images(root)
    except DataError as error:
        raise DataError("there are no images in a layout that is known", root, _LAYOUTS) from error
    return Dataset(root, (category,), _samples(root, images, category, GOOD), ())


def split_validation(
    samples: Iterable[Sample], fraction: float = 0.2, seed: int = 0
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Split into (train, validation), category by category, each sorted by name.

    The order is that of SHA-256 of "seed/name", so the split is the same on every machine and for every order of files.
    Each half of each category has at least one image. Raises DataError where a category has fewer than two.
    """
    if not 0 < fraction < 1:
        raise DataError(
            f"a validation share of {fraction} leaves one half empty", "split", "give a share between 0 and 1"
        )
    categories: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        categories[sample.category].append(sample)
    if not categories:
        raise DataError("there are no images to split", "split", "give at least 2 images of good parts")
    train: list[Sample] = []
    validation: list[Sample] = []
    for category, members in categories.items():
        if len(members) < 2:
            raise DataError("one image cannot be split", category, "give at least 2 images of good parts")
        members.sort(key=lambda sample: _order(f"{seed}/{sample.name}"))
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        validation += members[:count]
        train += members[count:]
    return _by_name(train), _by_name(validation)


def _order(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _by_name(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.name))


def _is_category(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("train", "test", GOOD, "bad"))


def _collect(root: Path, folders: dict[str, Path]) -> Dataset:
    train: list[Sample] = []
    test: list[Sample] = []
    for category, folder in folders.items():
        mvtec = (folder / "train").is_dir() or (folder / "test").is_dir()
        known, judged = (_read_mvtec if mvtec else _read_good_and_bad)(root, folder, category)
        train += known
        test += judged
    return Dataset(root, tuple(folders), _by_name(train), _by_name(test))


def _samples(root: Path, images: Iterable[Path], category: str, defect: str) -> tuple[Sample, ...]:
    return tuple(Sample(path, path.relative_to(root).as_posix(), category, defect) for path in images)


def _read_mvtec(root: Path, folder: Path, category: str) -> tuple[Sequence[Sample], Sequence[Sample]]:
    train = _samples(root, find_images(folder / "train" / GOOD), category, GOOD)
    other = [path.name for path in _folders(folder / "train") if path.name != GOOD]
    if other:
        raise DataError("training takes good parts alone", folder / "train" / other[0], "move the folder into test")
    test: list[Sample] = []
    defects = _folders(folder / "test")
    for defect in defects:
        if defect.name != GOOD and defect.name.casefold() == GOOD:  # its images would count as bad parts
            raise DataError("the folder of good parts is misspelt", defect, f"call it {GOOD}")
        samples = _samples(root, find_images(defect), category, defect.name)
        test += _with_masks(samples, folder / "ground_truth" / defect.name)
    known = {defect.name for defect in defects}
    for masks in _folders(folder / "ground_truth"):
        if masks.name not in known:
            raise DataError("masks without images", masks, f"put the images into {folder / 'test' / masks.name}")
    return train, test


def _read_good_and_bad(root: Path, folder: Path, category: str) -> tuple[Sequence[Sample], Sequence[Sample]]:
    good = _samples(root, find_images(folder / GOOD), category, GOOD)
    bad = folder / "bad"
    if not bad.is_dir():
        return good, ()
    defects = _folders(bad)
    test: list[Sample] = []
    for defect in defects:
        if defect.name.casefold() == GOOD:
            raise DataError("good parts among the bad", defect, f"move the images into {folder / GOOD}")
        test += _samples(root, find_images(defect), category, defect.name)
    if not defects or any(path.suffix.lower() in SUFFIXES for path in bad.iterdir() if path.is_file()):
        test += _samples(root, find_images(bad), category, "bad")
    train, kept = split_validation(good, GOOD_TEST_SHARE)
    return train, [*kept, *test]


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"the folder cannot be read ({error.strerror})", parent, "check its permissions") from error


def _with_masks(samples: Sequence[Sample], folder: Path) -> Iterable[Sample]:
    """Give each image the mask of its stem; images may lack one, but no mask may lack its image."""
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
        stem = mask.stem.removesuffix("_mask")
        if stem == mask.stem or stem not in by_stem:
            todo = f"name masks as their images are, with _mask added: {samples[0].path.stem}_mask.png"
            raise DataError("the mask belongs to no image", mask, todo)
        if stem in masks:
            raise DataError("a second mask of the same image", mask, "keep one of them")
        masks[stem] = mask
    return [
        Sample(sample.path, sample.name, sample.category, sample.defect, masks.get(sample.path.stem))
        if sample.anomalous  # every pixel of a good part is good
        else sample
        for sample in samples
    ]
