"""Results as lines of JSON."""

from __future__ import annotations

import fcntl
import functools
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks.aside import Aside
from edgead.sinks.base import Sink
from edgead.sinks.records import fault

log = logging.getLogger(__name__)

SYNC_SECONDS = 1.0
PATIENCE_SECONDS = 1.0  # that a line which pauses waits for the disk
CLOSE_SECONDS = 30.0  # and the end of a run
_LONGEST_LINE = 1 << 20


class JsonlSink(Sink):
    """One line of JSON per verdict (`Result.record`) or lost frame (`frame_id`, `source`, `captured_at`, `fault`).

    Every line reaches the operating system in one piece when it is written, so a killed process loses nothing; it
    is brought to the disk at least every second, so a power cut costs at most that second. A thread of its own does
    that, as a disk that hangs meanwhile may take lines still; until it answers, `trouble` says so. An existing file is
    continued, one that is removed begun anew. A last line without its end, as a power cut leaves it, moves to
    `<name>.torn` first. A line that does not fit on the disk is taken back whole. One process writes a file at a time.
    """

    lean = True

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._file = -1
        self._synced = 0.0
        self._disk = Aside(str(self.path))

    @property
    def trouble(self) -> str:
        return self._disk.trouble

    def open(self) -> None:
        """Open the file, and mend its end."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._mend()
        except BlockingIOError:
            raise self._failed("another process writes this file", "give each stream its own file") from None
        except OSError as error:
            raise self._failed(f"cannot open the results file: {error.strerror}") from error

    def write(self, result: Result, frame: Frame) -> None:
        """Append one verdict."""
        self._append(result.record())

    def lost(self, lost: LostFrame) -> None:
        """Append one fault."""
        self._append(fault(lost))

    def flush(self) -> None:
        """Bring what was written to the disk; where that hangs, wait for PATIENCE_SECONDS and go on."""
        self._sync(PATIENCE_SECONDS)

    def close(self) -> None:
        """Bring what was written to the disk and let the file go. Raises SinkError also where the disk hangs."""
        if self._file < 0:
            return
        hangs = False
        try:
            hangs = not self._sync(CLOSE_SECONDS)
        finally:
            if not hangs:  # else the thread of the disk has it still
                os.close(self._file)
            self._file = -1
        if hangs:
            raise self._failed("the disk does not answer, a power cut may cost what was written last", "check the disk")

    def _sync(self, patience: float) -> bool:
        """Bring what was written to the disk; False where that takes longer than `patience` seconds."""
        self._synced = time.monotonic()
        try:
            return self._disk.finish(functools.partial(os.fsync, self._file), patience)
        except OSError as error:
            raise self._failed(f"cannot write: {error.strerror}") from error

    def _append(self, record: dict[str, Any]) -> None:
        try:
            line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        except ValueError as error:
            raise self._failed(f"a record cannot be written: {error}", "check the detector") from error
        if not os.fstat(self._file).st_nlink:
            log.warning("%s was removed: a new one is begun", self.path)
            self.close()
            self.open()
        end = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            while written < len(line):  # a disk that fills up takes a part first, and answers with the error next
                written += os.write(self._file, line[written:])
        except OSError as error:
            os.ftruncate(self._file, end)  # giving space back needs none
            raise self._failed(f"cannot write: {error.strerror}") from error
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync(0.0)

    def _mend(self) -> None:
        """Set a torn last line aside. Raises SinkError where the file holds something else than results."""
        size = os.fstat(self._file).st_size
        start = max(0, size - _LONGEST_LINE)
        before, newline, torn = os.pread(self._file, size - start, start).rpartition(b"\n")
        last = before.rpartition(b"\n")[2]
        if (last and not _is_record(last)) or (start and not newline):
            raise self._failed("this is no results file", "give another name: it would be appended to")
        if _is_record(torn):  # whole, only its newline is missing
            os.write(self._file, b"\n")
        elif torn:
            with self.path.with_name(f"{self.path.name}.torn").open("ab") as aside:
                aside.write(torn + b"\n")
            os.ftruncate(self._file, size - len(torn))


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
