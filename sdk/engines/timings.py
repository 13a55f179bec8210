"""What a builder of engines has measured on a device, kept in the cache folder: it shortens the next build."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from edgead.atomic import write_atomic
from edgead.engines.cache import cache_folder
from edgead.engines.entry import entry_bytes, read_entry

log = logging.getLogger(__name__)
_TIMINGS = "timings.bin"


@dataclass(frozen=True)
class TimingKey:
    """A library on a device: times measured by one say nothing of another."""

    runtime: str
    runtime_version: str
    device: str
    compute_capability: str
    driver: str

    @property
    def path(self) -> Path:
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return cache_folder() / f"{digest}.timings"


def lookup_timings(key: TimingKey) -> bytes | None:
    """The timings kept under this key, or None. What is damaged, or another device's, counts as none."""
    if not key.path.exists():
        return None
    try:
        return read_entry(key.path, asdict(key), _TIMINGS, "it was measured on another device or runtime")
    except ValueError as error:
        log.warning("the timing cache %s is not used (%s); kernels are measured again", key.path, error)
        return None


def store_timings(key: TimingKey, timings: bytes) -> None:
    """Keep timings, atomically. No engine is the worse where that fails, and so it is a warning."""
    try:
        write_atomic(key.path, entry_bytes(asdict(key), _TIMINGS, timings))
    except OSError as error:
        log.warning("the timing cache %s cannot be written (%s)", key.path, error.strerror)
