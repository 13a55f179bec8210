"""How the files of a run fare: the health of its other sinks."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOW_BYTES = 1 << 30  # below that a disk is nearly full


def health(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """For each file that a run writes: its name, its bytes, the seconds since it grew, and what is free on its disk.

    A database's log and a video's temporary file count as the file. bytes and age are None before anything is there.
    """
    return [_one(path) for path in paths]


def _one(path: Path) -> dict[str, Any]:
    own = [path, path.with_name(f"{path.name}-wal"), *path.parent.glob(f".{_plain(path.stem)}.*.partial{path.suffix}")]
    found = [status for status in map(_status, own) if status is not None]
    try:
        disk = os.statvfs(path.parent)
        free: int | None = disk.f_bavail * disk.f_frsize
    except OSError:
        free = None
    return {
        "name": path.name,
        "bytes": sum(status.st_size for status in found) if found else None,
        "age": max(0.0, time.time() - max(status.st_mtime for status in found)) if found else None,
        "free": free,
        "low": free is not None and free < LOW_BYTES,
    }


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _plain(stem: str) -> str:
    """A name in which nothing is a pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)
