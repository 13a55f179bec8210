"""Labelled images in one `.npz` file: train_images, train_labels, test_images and test_labels.

Images are uint8 [N, H, W], gray, or [N, H, W, 3], RGB; labels are integers [N]. Nothing is unpickled. The place of an
image counts through the training images and then through the test images.
"""

from __future__ import annotations

import threading
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DataError

PARTS = ("train", "test")
_SAVE = (
    "save it with numpy.savez: train_images and test_images, uint8 [N, H, W] or [N, H, W, 3], and train_labels and "
    "test_labels, integers [N]; nothing is unpickled"
)
_FAULTS = (OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
_LOCK = threading.Lock()  # so that several threads that want the same file load it once


def read_labels(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """The labels of the training and of the test images, each an integer array [N].

    Raises DataError where the file is missing, damaged or pickled, lacks an array, or holds arrays of other types or
    shapes or without a label for each image.
    """
    images = _images(path)
    labels = _load(path, "labels")
    for part, pixels, values in zip(PARTS, images, labels, strict=True):
        if values.dtype.kind not in "iu" or values.ndim != 1:
            raise DataError(f"{part}_labels is {values.dtype} {list(values.shape)}", path, _SAVE)
        if len(values) != len(pixels):
            raise DataError(f"{len(pixels)} {part}_images have {len(values)} labels", path, "give each image a label")
    return labels


def read_array_image(path: Path, index: int) -> NDArray[np.uint8]:
    """The image at a place of the file, uint8 [H, W, 3], RGB; gray becomes three equal channels.

    The images of the last two files are kept in memory, until a file changes. Raises DataError as `read_labels` does,
    and where there is no such place.
    """
    train, test = _images(path)
    if not 0 <= index < len(train) + len(test):
        what = f"there is no image {index} among the {len(train) + len(test)}"
        raise DataError(what, path, "list the data again: the file has changed")
    image = train[index] if index < len(train) else test[index - len(train)]
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image.copy()


def _images(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The training and the test images, checked, from memory where the file has not changed."""
    try:
        state = path.stat()
    except OSError as error:
        raise DataError(f"the array file cannot be read ({error.strerror})", path, "check the path") from error
    stamp = (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
    with _LOCK:
        return _images_once(path, stamp)


@lru_cache(maxsize=2)
def _images_once(path: Path, stamp: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images = _load(path, "images")
    for part, pixels in zip(PARTS, images, strict=True):
        shaped = pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)
        if pixels.dtype != np.uint8 or not shaped or 0 in pixels.shape[1:]:
            raise DataError(f"{part}_images is {pixels.dtype} {list(pixels.shape)}", path, _SAVE)
    return images


def _load(path: Path, kind: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The arrays train_<kind> and test_<kind> as they are in the file."""
    names = [f"{part}_{kind}" for part in PARTS]
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError("this is one array, not a file of several", path, _SAVE)
            missing = [name for name in names if name not in archive.files]
            if missing:
                what = f"there is no {missing[0]} among its arrays, {', '.join(archive.files) or 'none'}"
                raise DataError(what, path, _SAVE)
            train, test = (archive[name] for name in names)
    except _FAULTS as error:
        raise DataError(f"the array file cannot be read ({error})", path, _SAVE) from error
    if not (isinstance(train, np.ndarray) and isinstance(test, np.ndarray)):  # members that are no .npy files
        raise DataError(f"{' and '.join(names)} are no arrays", path, _SAVE)
    return train, test
