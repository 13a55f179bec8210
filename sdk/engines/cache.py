"""Built engines, kept per device: a cache entry is never the truth, and is rebuilt rather than trusted."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from edgead.atomic import atomic_path, remove_abandoned
from edgead.engines.entry import entry_bytes, read_entry, read_key, writing

log = logging.getLogger(__name__)
_ENGINE = "engine.bin"
_SUFFIX = ".engine"


@dataclass(frozen=True)
class EngineKey:
    """Everything that makes an engine what it is; two engines with the same key are interchangeable.

    graph: SHA-256 of the ONNX file. device: the name of the processor or GPU that it was built for. compute_capability:
    of a GPU, such as `8.7`; of a processor, the instructions that matter. driver: driver and CUDA versions, empty on a
    CPU.
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
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def cache_folder() -> Path:
    """`$EDGEAD_CACHE`, or `edgead` in the platform's cache folder."""
    named = os.environ.get("EDGEAD_CACHE")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "edgead"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgead"


def entry_path(key: EngineKey) -> Path:
    return cache_folder() / f"{key.digest}{_SUFFIX}"


def lookup(key: EngineKey) -> bytes | None:
    """The engine of exactly this key, or None. A damaged entry, or one whose key differs, is never loaded: it counts as
    none."""
    path = entry_path(key)
    if not path.exists():
        return None
    try:
        return read_entry(path, asdict(key), _ENGINE, "it was built for another device, runtime or graph")
    except ValueError as error:
        log.warning("engine cache entry %s is not used (%s); the engine is built again", path, error)
        return None


def discard(key: EngineKey) -> None:
    """Remove the engine of a key, if it is there; a cache that cannot be written keeps it."""
    with suppress(OSError):
        entry_path(key).unlink(missing_ok=True)


def describe_foreign(key: EngineKey) -> str:
    """The engine of the same graph, precision and runtime that comes nearest to `key`, and what keeps it from running
    here; empty where there is none."""
    found = []
    for path in cache_folder().glob(f"*{_SUFFIX}"):
        try:
            other = read_key(path)
            differences = _differences(other, key)
            if differences and all(other[name] == getattr(key, name) for name in ("graph", "precision", "runtime")):
                found.append((other["device"], differences))
        except (KeyError, TypeError, ValueError):
            continue  # `lookup` tells of damaged entries
    if not found:
        return ""
    device, differences = min(found, key=lambda entry: len(entry[1]))
    return f"the cache has one built on {device!r} ({'; '.join(differences)})"


def _differences(other: Mapping[str, object], key: EngineKey) -> list[str]:
    """`name there, name here` for every field of another key that differs."""
    mine = asdict(key)
    names = [entry.name for entry in fields(key) if other[entry.name] != mine[entry.name]]
    return [f"{_called(name, key.runtime)} {other[name]!r} there, {mine[name]!r} here" for name in names]


def _called(name: str, runtime: str) -> str:
    """What people call a field of a key; a processor has no compute capability."""
    if name == "compute_capability" and runtime == "openvino":
        return "instruction sets"
    return name.replace("_", " ")


def store(key: EngineKey, engine: bytes) -> Path:
    """Write an engine into the cache, atomically. Raises EngineError where the cache folder cannot be written."""
    with storing(key, engine) as path:
        return path


@contextmanager
def storing(key: EngineKey, engine: bytes) -> Iterator[Path]:
    """Write an engine into the cache, where it appears only once the block has ended well: at the path that is given.

    Raises EngineError where the cache folder cannot be written, as a rule before the block begins.
    """
    path = entry_path(key)
    content = entry_bytes(asdict(key), _ENGINE, engine)
    with ExitStack() as stack:
        with writing(path.parent):
            temporary = stack.enter_context(atomic_path(path))
            remove_abandoned(path.parent, ".")
            temporary.write_bytes(content)
        yield path
        with writing(path.parent):
            stack.close()
