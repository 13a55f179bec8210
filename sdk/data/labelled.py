"""Images with classes, from an array file, CIFAR-10's batches or folders, before anybody says which class is normal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgead.data import arrays, cifar
from edgead.data.folders import folders_in
from edgead.data.images import find_images
from edgead.errors import DataError

_KINDS = (
    "give a .npz file with train_images, train_labels, test_images and test_labels, a folder with CIFAR-10's binary "
    "batches (data_batch_1.bin), or one with train/<class> and test/<class>"
)
_PICKLE = b"\x80"  # the first byte of every pickle since protocol 2


@dataclass(frozen=True)
class Image:
    """path, index and name: as in a Sample. label: the number of its class."""

    path: Path
    index: int | None
    name: str
    label: int


@dataclass(frozen=True)
class Labelled:
    """names: the classes by number. train, test: every image."""

    names: Mapping[int, str]
    train: Sequence[Image]
    test: Sequence[Image]


def read_labelled(root: Path) -> Labelled:
    """Find labelled images.

    - a `.npz` file (`edgead.data.arrays`): a class is called as its label;
    - a folder with CIFAR-10's binary distribution (`edgead.data.cifar`);
    - a folder with `train/<class>` and `test/<class>`: classes are numbered from 0 by name, those of both together.

    Raises DataError for anything else, and for pickles, which are not opened.
    """
    if root.is_file():
        if root.suffix.lower() == ".npz":
            return _read_arrays(root)
        _refuse_pickle(root)
        raise DataError("this is no file of labelled images", root, _KINDS)
    if any((root / name).exists() for name in (*cifar.TRAIN, *cifar.TEST)):
        return _read_cifar(root)
    if (root / "train").is_dir() and (root / "test").is_dir():
        return _read_folders(root)
    for name in cifar.PICKLED:
        if (root / name).exists():
            raise _python_distribution(root)
    what = "there are no labelled images" if root.is_dir() else "the data does not exist"
    raise DataError(what, root, _KINDS)


def _read_arrays(path: Path) -> Labelled:
    train, test = arrays.read_labels(path)
    names = {int(label): str(label) for label in sorted({*train.tolist(), *test.tolist()})}
    places = [(path, index) for index in range(len(train) + len(test))]
    return Labelled(
        names,
        _number("train", places[: len(train)], train.tolist()),
        _number("test", places[len(train) :], test.tolist()),
    )


def _read_cifar(folder: Path) -> Labelled:
    names = dict(enumerate(cifar.class_names(folder)))
    parts: list[list[Image]] = []
    for part, files in (("train", cifar.TRAIN), ("test", cifar.TEST)):
        batches = [(folder / name, cifar.read_labels(folder / name).tolist()) for name in files]
        places = [(path, index) for path, labels in batches for index in range(len(labels))]
        parts.append(_number(part, places, [label for _, labels in batches for label in labels]))
    return Labelled(names, *parts)


def _read_folders(root: Path) -> Labelled:
    classes = {part: folders_in(root / part) for part in ("train", "test")}
    names = sorted({folder.name for folders in classes.values() for folder in folders})
    label_of = {name: label for label, name in enumerate(names)}
    train, test = (
        [
            Image(path, None, path.relative_to(root).as_posix(), label_of[folder.name])
            for folder in folders
            for path in find_images(folder)
        ]
        for folders in classes.values()
    )
    return Labelled(dict(enumerate(names)), train, test)


def _number(part: str, places: Sequence[tuple[Path, int]], labels: Iterable[int]) -> list[Image]:
    """Images called "train/00000" and so on, with enough digits to sort them."""
    digits = max(5, len(str(len(places) - 1)))
    return [
        Image(path, index, f"{part}/{number:0{digits}d}", label)
        for number, ((path, index), label) in enumerate(zip(places, labels, strict=True))
    ]


def _refuse_pickle(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(1)
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror})", path, "check its permissions") from error
    if start == _PICKLE:
        raise _python_distribution(path)


def _python_distribution(where: Path) -> DataError:
    todo = "nothing is unpickled: get CIFAR-10's binary distribution, cifar-10-binary.tar.gz, or save a .npz file"
    return DataError("these images are pickled", where, todo)
