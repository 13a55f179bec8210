"""Records as a table for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgead.atomic import atomic_path
from edgead.errors import SinkError

COLUMNS = (
    "record", "id", "kind", "frame_id", "source", "captured_at", "verdict", "pred_score", "pred_label", "raw_score",
    "raw_verdict", "ruled_score", "part", "regions", "largest_area", "highest_peak", "fault", "bundle", "engine",
    "image", "hash",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@contextmanager
def csv_table(path: Path) -> Iterator[Callable[[int, dict[str, Any], bytes], None]]:
    """A function that adds a verdict or a fault to a CSV file (RFC 4180, UTF-8); the file is whole or not there.

    Text that a spreadsheet would take for a formula begins with an apostrophe. Raises SinkError where the file cannot
    be written.
    """
    try:
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)

            def add(place: int, record: dict[str, Any], digest: bytes) -> None:
                if record.get("kind") in ("verdict", "fault"):
                    cells = {**record, **_measures(record), "record": place, "hash": digest.hex()}
                    writer.writerow([_safe(cells.get(column)) for column in COLUMNS])

            yield add
    except OSError as error:
        raise SinkError(
            f"cannot write the table: {error.strerror}", path, "free space or give another place"
        ) from error


def _measures(record: dict[str, Any]) -> dict[str, Any]:
    regions, image, part = record.get("regions") or [], record.get("image"), record.get("part")
    found: dict[str, Any] = {
        "image": image.get("file") if isinstance(image, dict) else None,
        "part": part.get("name") if isinstance(part, dict) else None,
    }
    if "regions" in record:
        found["regions"] = len(regions)
        found["largest_area"] = max((region["area"] for region in regions), default=None)
        found["highest_peak"] = max((region["peak"] for region in regions), default=None)
    return found


def _safe(value: Any) -> Any:
    """A cell: None is empty, numbers as they are, text that shows as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value).encode("utf-8", "backslashreplace").decode()  # a file name need not be valid Unicode
    return f"'{text}" if text.startswith(_FORMULA) else text
