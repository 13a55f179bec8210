"""Data folders: which images there are, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgead.data.folders import find_good, folders_in
from edgead.data.images import SUFFIXES, find_images
from edgead.data.masks import with_masks
from edgead.data.samples import BAD, GOOD, Dataset, Sample, by_name, samples_of
from edgead.data.split import split_validation
from edgead.data.visa import is_visa, read_visa
from edgead.data.visa_table import TABLE, Parts, read_table
from edgead.errors import DataError

__all__ = ["GOOD", "GOOD_TEST_SHARE", "Dataset", "Sample", "read_dataset", "split_validation"]

GOOD_TEST_SHARE = 0.2
_LAYOUTS = (
    "give a folder with train/good (and test/<defect>), one with good and bad, one with images of good parts, or VisA's"
)
_PARTS = ("train", "test", GOOD, "bad")
_Read = Callable[[Path, Path, str], tuple[Sequence[Sample], Sequence[Sample]]]


def read_dataset(root: Path) -> Dataset:
    """Find the images of a data folder.

    - `train/good`, `test/<defect>`, `ground_truth/<defect>/<image's stem>_mask.png` (MVTec's layout);
    - `good` and `bad`, with the images of bad parts in `bad` itself or in `bad/<defect>`; where there are bad ones, a
      fixed 20 % of the good ones (at least 1) are kept for the test;
    - `Data/Images/Normal`, `Data/Images/Anomaly`, `Data/Masks/Anomaly/<image's stem>.png` (VisA's layout), split as
      `good` and `bad` are;
    - several such folders side by side, each one category; where there is a `split_csv/1cls.csv` beside them, it says
      which of VisA's images train and which test (`edgead.data.visa_table`);
    - images of good parts alone.

    Raises DataError for a missing folder, one without images, a category without images of good parts, masks that
    belong to no image, and a table that says what is not so.
    """
    if not root.is_dir():
        raise DataError("the data folder does not exist", root, _LAYOUTS)
    category = root.resolve().name or "parts"
    if _is_category(root):
        return _collect(root, {category: root}, {})
    beside = folders_in(root)
    folders = {path.name: path for path in beside if _is_category(path)}
    if folders:
        for path in beside:
            if path.name not in folders and path.name != TABLE.parent.name:
                _check_bystander(path)
        visa = [name for name, folder in folders.items() if is_visa(folder)]
        return _collect(root, folders, read_table(root, visa) if visa and (root / TABLE).exists() else {})
    try:
        images = find_images(root)
    except DataError as error:
        raise DataError("there are no images in a layout that is known", root, _LAYOUTS) from error
    return Dataset(root, (category,), samples_of(root, images, category, GOOD), ())


def _is_category(folder: Path) -> bool:
    return is_visa(folder) or any((folder / name).is_dir() for name in _PARTS)


def _check_bystander(folder: Path) -> None:
    """Refuse a folder beside categories that looks like one whose images would be overlooked; notes are no fault."""
    todo = f"put images of good parts into {folder / 'train' / GOOD}, or move the folder out of the data"
    if not any(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*")):
        raise DataError(f"class {folder.name} has no images: its folder is empty", folder, todo)
    parts = [path.name for path in folders_in(folder) if path.name.casefold() in (*_PARTS, "ground_truth")]
    if parts:
        raise DataError(f"class {folder.name} has {parts[0]}, but neither train/{GOOD} nor {GOOD}", folder, todo)
    if any(path.suffix.lower() in SUFFIXES and not path.name.startswith(".") for path in folder.iterdir()):
        raise DataError(f"class {folder.name} has images, but neither train/{GOOD} nor {GOOD}", folder, todo)


def _collect(root: Path, folders: dict[str, Path], parts: Parts) -> Dataset:
    """Read each category's folder, but those that are in `parts` already."""
    train: list[Sample] = []
    test: list[Sample] = []
    for category, folder in folders.items():
        known, judged = parts[category] if category in parts else _reader(folder)(root, folder, category)
        train += known
        test += judged
    return Dataset(root, tuple(folders), by_name(train), by_name(test))


def _reader(folder: Path) -> _Read:
    if (folder / "train").is_dir() or (folder / "test").is_dir():
        return _read_mvtec
    return _read_visa if is_visa(folder) else _read_good_and_bad


def _read_mvtec(root: Path, folder: Path, category: str) -> tuple[Sequence[Sample], Sequence[Sample]]:
    train = samples_of(root, find_good(folder / "train" / GOOD, category), category, GOOD)
    other = [path.name for path in folders_in(folder / "train") if path.name != GOOD]
    if other:
        raise DataError("training takes good parts alone", folder / "train" / other[0], "move the folder into test")
    test: list[Sample] = []
    defects = folders_in(folder / "test")
    for defect in defects:
        if defect.name != GOOD and defect.name.casefold() == GOOD:  # its images would count as bad parts
            raise DataError("the folder of good parts is misspelt", defect, f"call it {GOOD}")
        samples = samples_of(root, find_images(defect), category, defect.name)
        test += with_masks(samples, folder / "ground_truth" / defect.name)
    known = {defect.name for defect in defects}
    for masks in folders_in(folder / "ground_truth"):
        if masks.name not in known:
            raise DataError("masks without images", masks, f"put the images into {folder / 'test' / masks.name}")
    return train, test


def _read_visa(root: Path, folder: Path, category: str) -> tuple[Sequence[Sample], Sequence[Sample]]:
    return _keep_good(*read_visa(root, folder, category))


def _read_good_and_bad(root: Path, folder: Path, category: str) -> tuple[Sequence[Sample], Sequence[Sample]]:
    good = samples_of(root, find_good(folder / GOOD, category), category, GOOD)
    bad = folder / "bad"
    if not bad.is_dir():
        return good, ()
    defects = folders_in(bad)
    test: list[Sample] = []
    for defect in defects:
        if defect.name.casefold() == GOOD:
            raise DataError("good parts among the bad", defect, f"move the images into {folder / GOOD}")
        test += samples_of(root, find_images(defect), category, defect.name)
    if not defects or any(path.suffix.lower() in SUFFIXES for path in bad.iterdir() if path.is_file()):
        test += samples_of(root, find_images(bad), category, BAD)
    return _keep_good(good, test)


def _keep_good(good: Sequence[Sample], bad: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Training and test images: where there are bad parts to tell apart, a fixed share of the good ones is kept."""
    if not bad:
        return good, ()
    train, kept = split_validation(good, GOOD_TEST_SHARE)
    return train, [*kept, *bad]
