"""Built engines, kept per device: a cache entry is never the truth, and is rebuilt rather than trusted."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgead.archive import read_archive, write_archive
from edgead.errors import BundleError, EngineError

log = logging.getLogger(__name__)
_KEY, _ENGINE = "key.json", "engine.bin"


@dataclass(frozen=True)
class EngineKey:
    """Everything that makes an engine what it is; two engines with the same key are interchangeable.

    graph: SHA-256 of the ONNX file. device: the name of the processor or GPU that it was built for. driver: driver and
    CUDA versions, empty on a CPU.
    """

    graph: str
    precision: str
    min_batch: int
    max_batch: int
    runtime: str
    runtime_version: str
    device: str
    compute_capability: str = ""
    driver: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self._json()).hexdigest()

    def _json(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


def cache_folder() -> Path:
    """`$EDGEAD_CACHE`, or `edgead` in the platform's cache folder."""
    named = os.environ.get("EDGEAD_CACHE")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "edgead"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgead"


def entry_path(key: EngineKey) -> Path:
    return cache_folder() / f"{key.digest}.engine"


def lookup(key: EngineKey) -> bytes | None:
    """The engine of exactly this key, or None. A damaged entry, or one whose key differs, is never loaded: it counts as
    none."""
    path = entry_path(key)
    if not path.exists():
        return None
    try:
        members = read_archive(path)
        recorded = json.loads(members[_KEY])
        engine = members[_ENGINE]
        if recorded["key"] != json.loads(key._json()):
            raise ValueError("it was built for another device, runtime or graph")
        if recorded["sha256"] != hashlib.sha256(engine).hexdigest():
            raise ValueError("its digest differs")
    except (BundleError, KeyError, TypeError, ValueError) as error:
        log.warning("engine cache entry %s is not used (%s); the engine is built again", path, error)
        return None
    return engine


def store(key: EngineKey, engine: bytes) -> Path:
    """Write an engine into the cache, atomically. Raises EngineError where the cache folder cannot be written."""
    path = entry_path(key)
    header = {"key": json.loads(key._json()), "sha256": hashlib.sha256(engine).hexdigest()}
    try:
        write_archive(path, {_KEY: json.dumps(header, sort_keys=True).encode(), _ENGINE: engine})
    except OSError as error:
        todo = "free some space, fix its permissions, or set EDGEAD_CACHE to another folder"
        raise EngineError(f"the engine cache cannot be written ({error.strerror})", path.parent, todo) from error
    return path
