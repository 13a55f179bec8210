"""What a cell leaves behind: `result.json`, whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edgead.atomic import write_atomic
from edgead.errors import TrainingError
from edgead.experiments.cells.work import differences, digest

RESULT = "result.json"
_VERSION = 1
_TODO = "remove the cell's folder to do it again, or give another folder"


@dataclass(frozen=True)
class Record:
    """One training and its measurement.

    cell: its name. series, tried, row, fold, seed: what it is of; tried: the value of the option that its series tries,
    or "". work: everything that decides the result. edgead, commit: what did it. device: the processor or the GPU.
    threads: of the processor. training, measuring: seconds; training is None where it had been interrupted. images:
    how many train, are held out, and test. weights: the SHA-256 of those that it began with, or "". epochs, best_epoch:
    how many were trained, and whose weights were kept, from 0. categories: the measures of each, 0..1, None where there
    was nothing to measure. points: the curve of a figure's model, as JSON has it.
    """

    cell: str
    series: str
    tried: str
    row: str
    fold: int | None
    seed: int
    work: Mapping[str, Any]
    edgead: str
    commit: str
    device: str
    threads: int
    training: float | None
    measuring: float
    images: Mapping[str, int]
    weights: str
    epochs: int
    best_epoch: int
    categories: Mapping[str, Mapping[str, Any]]
    points: Sequence[Mapping[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        """For a table of many: a digest in place of all that decides the result."""
        found = asdict(self)
        return {**found, "work": digest(self.work), "points": list(self.points)}

    def write(self, folder: Path) -> None:
        document = {"version": _VERSION, **asdict(self), "points": list(self.points)}
        write_atomic(folder / RESULT, json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_record(folder: Path) -> Record | None:
    """The record in a cell's folder; None where there is none. Raises TrainingError for a damaged one."""
    path = folder / RESULT
    try:
        document = json.loads(path.read_text())
        if document.pop("version") != _VERSION:
            raise ValueError("another version")
        if set(document) != {entry.name for entry in fields(Record)}:
            raise ValueError("other fields than a result has")
        return Record(**document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"the result is damaged ({error})", path, _TODO) from error


def same_work(record: Record, work: Mapping[str, Any], folder: Path) -> Record:
    """The record, if it is of this work. Raises TrainingError where it is of another."""
    other = differences(record.work, json.loads(json.dumps(work)))
    if other:
        what = f"the cell was done with other options or images ({', '.join(other)})"
        raise TrainingError(what, folder, "give the same ones, or another folder")
    return record
