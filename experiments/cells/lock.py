"""A cell's folder while it is being done: one process has it, and the others hear so."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from edgead.errors import TrainingError

LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have a cell's folder for oneself; it is made if it is not there, and goes again if nothing was put into it.

    The lock is the system's, on a file in the folder: it ends with the process, however that ends. Where the file
    system knows no locks, there is none. Raises TrainingError where another process has the folder.
    """
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    with _locked(folder / LOCK):
        try:
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                for part in missing:
                    part.rmdir()


def _locked(path: Path) -> TextIO:
    """The open file, with its lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have removed the file between its opening and its lock, and a third made a new one.
        taken = not (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()))
    except (BlockingIOError, PermissionError):  # the latter on network file systems
        taken = True
    except OSError:
        taken = False
    if taken:
        file.close()
        raise TrainingError("another process is doing this cell", path.parent, "run the same command when it has ended")
    return file
