"""CIFAR-10's binary distribution: records of one label byte and 3072 pixel bytes.

The pixels are three planes of 32 x 32, red, green and blue, row by row.

Reference: https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DataError

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
NAMES = "batches.meta.txt"
PICKLED = ("data_batch_1", "test_batch", "batches.meta")
"""Files of the python distribution."""

CLASSES, SIDE = 10, 32
RECORD = 1 + 3 * SIDE * SIDE
_AGAIN = "get cifar-10-binary.tar.gz again"


def read_labels(path: Path) -> NDArray[np.uint8]:
    """The labels of a batch file, uint8 [N], each 0..9.

    Raises DataError where the file is missing, empty, not made of whole records, or has another label.
    """
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"the batch cannot be read ({error.strerror})", path, _AGAIN) from error
    if not content.size or content.size % RECORD:
        raise DataError(f"{content.size} bytes are not whole records of {RECORD} bytes", path, _AGAIN)
    labels = content[::RECORD].copy()
    if labels.max() >= CLASSES:
        record = int(np.argmax(labels >= CLASSES))
        raise DataError(f"record {record} has the label {labels[record]}, not 0..{CLASSES - 1}", path, _AGAIN)
    return labels


def read_record(path: Path, index: int) -> NDArray[np.uint8]:
    """The image of a record, uint8 [32, 32, 3], RGB. Raises DataError where there is no such record."""
    try:
        with path.open("rb") as file:
            file.seek(index * RECORD)
            record = file.read(RECORD)
    except (OSError, ValueError) as error:
        raise DataError(f"record {index} cannot be read ({error})", path, _AGAIN) from error
    if len(record) != RECORD:
        raise DataError(f"the batch ends before record {index} does", path, _AGAIN)
    planes = np.frombuffer(record, np.uint8, offset=1).reshape(3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def class_names(folder: Path) -> tuple[str, ...]:
    """The ten classes as `batches.meta.txt` calls them, or "0" to "9" where the folder has none.

    Raises DataError where the file does not name ten different classes.
    """
    path = folder / NAMES
    if not path.exists():
        return tuple(str(label) for label in range(CLASSES))
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the names of the classes cannot be read ({error})", path, _AGAIN) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != CLASSES or len(set(names)) != CLASSES:
        raise DataError(f"{len(set(names))} names are not one for each of {CLASSES} classes", path, _AGAIN)
    return names
