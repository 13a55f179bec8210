"""Results as lines of JSON."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks.base import Sink
from edgead.sinks.records import fault

SYNC_SECONDS = 1.0
_LONGEST_LINE = 1 << 20


class JsonlSink(Sink):
    """One line of JSON per verdict (`Result.record`) or lost frame (`frame_id`, `source`, `captured_at`, `fault`).

    Every line reaches the operating system in one piece when it is written, so a killed process loses nothing; it
    reaches the disk at least every second, so a power cut costs at most that second. An existing file is continued. A
    last line without its end, as a power cut leaves it, moves to `<name>.torn` first. A line that does not fit on the
    disk is taken back whole. One process writes a file at a time.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._file = -1
        self._synced = 0.0

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
        """Bring what was written to the disk."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._failed(f"cannot write: {error.strerror}") from error
        self._synced = time.monotonic()

    def close(self) -> None:
        """Bring what was written to the disk and let the file go."""
        if self._file < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._file)
            self._file = -1

    def _append(self, record: dict[str, Any]) -> None:
        try:
            line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        except ValueError as error:
            raise self._failed(f"a record cannot be written: {error}", "check the detector") from error
        end = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            while written < len(line):  # a disk that fills up takes a part first, and answers with the error next
                written += os.write(self._file, line[written:])
        except OSError as error:
            os.ftruncate(self._file, end)  # giving space back needs none
            raise self._failed(f"cannot write: {error.strerror}") from error
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.flush()

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
