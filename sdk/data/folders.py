"""Folders of images, with errors that name the class."""

from __future__ import annotations

from pathlib import Path

from edgead.data.images import find_images
from edgead.errors import DataError


def folders_in(parent: Path) -> list[Path]:
    """The folders in a folder, sorted; hidden ones are left out. None where the folder does not exist.

    Raises DataError where it may not be read.
    """
    if not parent.is_dir():
        return []
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"the folder cannot be read ({error.strerror})", parent, "check its permissions") from error


def find_good(folder: Path, category: str) -> list[Path]:
    """The images of good parts of a class. Raises DataError, naming the class, where there are none."""
    try:
        return find_images(folder)
    except DataError as error:
        what = f"class {category} has no images of good parts: {error.what}"
        raise DataError(what, folder, f"{error.todo}, or take the class out of the data") from error
