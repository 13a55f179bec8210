"""Files that are either whole or not there, also where several processes write at once or are killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SUFFIX = ".partial"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; on a clean exit it replaces `target`, on any error it is removed.

    The file is flushed to the disk before it takes its name, so that a power cut leaves the old file or the new one.
    What a process that was killed has left of `target` is removed first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent, f".{target.name}.")
    handle, temporary = _make(target)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp gives 0600; the file should have the mode that open() would give
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def write_atomic(target: Path, content: bytes | str) -> None:
    """Write a whole small file, or nothing."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove temporary files whose names begin with `prefix` and whose writers are dead: nobody has them locked."""
    for path in folder.iterdir():
        if path.name.startswith(prefix) and path.name.endswith(_SUFFIX):
            with contextlib.suppress(OSError), path.open("rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep others who ask for the same out until the block ends. The block may replace the file."""
    while True:
        with path.open("rb+") as file:
            _lock(file.fileno())
            if _is(file.fileno(), path):
                yield
                return


def _make(target: Path) -> tuple[int, Path]:
    """An empty temporary file, locked for as long as this process has it open."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=_SUFFIX, dir=target.parent)
        _lock(handle)
        if _is(handle, Path(name)):
            return handle, Path(name)
        os.close(handle)  # somebody took it for abandoned before it was locked


def _lock(handle: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: then nothing counts as abandoned
        fcntl.flock(handle, fcntl.LOCK_EX)


def _is(handle: int, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
