"""VisA's `split_csv/1cls.csv`: which images train and which test."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

from edgead.data.images import LabelMask
from edgead.data.samples import BAD, GOOD, Sample
from edgead.errors import DataError

TABLE = Path("split_csv", "1cls.csv")
COLUMNS = ("object", "split", "label", "image", "mask")
_DEFECTS = {"normal": GOOD, "anomaly": BAD}

Parts = dict[str, tuple[list[Sample], list[Sample]]]
"""Training and test images by category."""


def read_table(root: Path, categories: Collection[str]) -> Parts:
    """The images of the table, which lies at `TABLE` below `root` and has the header "object,split,label,image,mask".

    object: one of `categories`. split: train or test. label: normal or anomaly. image, mask: paths relative to `root`,
    inside the category's folder; only bad parts need a mask. An image that no line names is not used.

    Raises DataError, with the number of the line, for other columns or values, files that do not exist or lie outside
    the category's folder, an image named twice and bad parts for training; and for a category without training images.
    """
    table = root / TABLE
    parts: Parts = {category: ([], []) for category in categories}
    lines: dict[str, int] = {}
    for line, row in _rows(table):
        where = f"{table} line {line}"
        sample = _sample(root, row, categories, where)
        if sample.name in lines:
            raise DataError(f"line {lines[sample.name]} names the same image, {sample.name}", where, "keep one of them")
        lines[sample.name] = line
        training = row["split"] == "train"
        if training and sample.anomalous:
            raise DataError("training takes good parts alone", where, "write test, or normal")
        parts[sample.category][0 if training else 1].append(sample)
    for category, (train, _) in parts.items():
        if not train:
            todo = "add its lines with split train, or move the folder out of the data"
            raise DataError(f"class {category} has no training images in the table", table, todo)
    return parts


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows by column, each with the number of its line."""
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"the table cannot be read ({error.strerror})", table, "check its permissions") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError("the table is not UTF-8", f"{table} line {line}", "save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        where = f"{table} line {reader.line_num}"
        raise DataError(f"the table cannot be read ({error})", where, "check the quotes") from error
    header = rows[0][1] if rows else []
    if sorted(header) != sorted(COLUMNS):
        where = f"{table} line {rows[0][0] if rows else 1}"
        raise DataError(f"the columns are {','.join(header) or 'missing'}", where, f"write {','.join(COLUMNS)}")
    for line, row in rows[1:]:
        if len(row) != len(COLUMNS):
            todo = f"write {','.join(header)}"
            raise DataError(f"{len(row)} values instead of {len(COLUMNS)}", f"{table} line {line}", todo)
    return [(line, dict(zip(header, row, strict=True))) for line, row in rows[1:]]


def _sample(root: Path, row: dict[str, str], categories: Collection[str], where: str) -> Sample:
    for column, known in (("object", categories), ("split", ("train", "test")), ("label", _DEFECTS)):
        if row[column] not in known:
            todo = f"write {' or '.join(sorted(known))}"
            if column == "object":
                todo += ", or put its images into Data/Images of a folder of that name"
            raise DataError(f"no {column} is called {row[column]!r}", where, todo)
    category, defect = row["object"], _DEFECTS[row["label"]]
    image = _file(root, row["image"], category, where)
    mask = _file(root, row["mask"], category, where) if row["mask"] else None
    sample = Sample(root / image, image.as_posix(), category, defect)
    # Every pixel of a good part is good.
    return replace(sample, mask=LabelMask(root / mask)) if mask and sample.anomalous else sample


def _file(root: Path, text: str, category: str, where: str) -> PurePosixPath:
    """A file that the table names, relative to the root and inside its category's folder."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"the path {text!r} leaves the data folder", where, "write a path relative to the data folder")
    if path.parts[:1] != (category,):
        todo = f"write the image's path, {category}/Data/Images/..."
        raise DataError(f"the path {text!r} does not lie in the folder of {category}", where, todo)
    try:
        found = (root / path).is_file()
    except (OSError, ValueError):  # a name that no file system takes
        found = False
    if not found:
        raise DataError(f"the file {text!r} does not exist", where, "put it back, or take the line out")
    return path
