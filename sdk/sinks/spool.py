"""Records on their way to a sink, kept on the disk until it has them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import threading
import time
from pathlib import Path
from typing import BinaryIO, Literal

from edgead.frame import Signal
from edgead.sinks.aside import Aside

log = logging.getLogger(__name__)

SEGMENT_BYTES = 1 << 20
RESERVE_BYTES = 1 << 18
"""Set aside on the disk for the records that are on their way when it is full."""
SYNC_SECONDS = 1.0
PATIENCE_SECONDS = 1.0  # that `close` waits for a disk
_SENT, _RESERVE = "sent", "reserve"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: blocks beyond the end of the file, which stays empty
_BLOCK = 1 << 16


def spool_folder() -> Path:
    """Where spools of sinks without a file are: `$EDGEAD_SPOOL`, or `edgead/spool` in the folder for states (XDG)."""
    named = os.environ.get("EDGEAD_SPOOL")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Path(named) if named else state / "edgead" / "spool"


class Spool:
    """The records of one run, in order: lines in the files 1.jsonl, 2.jsonl, ... of a folder of its own.

    One thread calls `append`, `sync` and `end`, another `take`, `acknowledge` and `rewind`. A record that was appended
    has reached the operating system, so a killed process loses none; it is brought to the disk within a second or with
    `sync`, by a thread of its own, as a disk that hangs while it does that may take records still. Files that are
    delivered are removed; `sent` notes how far the oldest is. Memory does not grow with what
    waits. The folder is locked while somebody has it open.

    spent: the disk is full, and what is appended now takes the room that was set aside: no more should come than what
    is on its way already.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._changed = threading.Condition()
        self._appended = self._taken = self._acknowledged = 0  # records
        self._ended = self.spent = False
        self._folder = self._file = self._sent = -1
        self._reader: BinaryIO | None = None
        self._last = self._size = 0  # the file that is appended to, and its bytes
        self._reads = self._delivered = (1, 0)  # file and offset
        self._synced = 0.0
        self._safe = 1  # the files before this one are on the disk
        self._disk = Aside(str(folder))

    @property
    def trouble(self) -> str:
        """That the disk hangs; empty where it does not."""
        return self._disk.trouble

    @property
    def waiting(self) -> int:
        """Records that are not acknowledged."""
        return self._appended - self._acknowledged

    def create(self) -> None:
        """Make an empty spool. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while not self._lock():  # somebody took it for an abandoned one before it was locked, and will remove it
            time.sleep(0.01)
            self.folder.mkdir(parents=True, exist_ok=True)
        self._next_file()
        _set_aside(self.folder / _RESERVE)
        for folder in (self.folder, *list(self.folder.parents)[:2]):  # the names of the folders, too
            sync_path(folder)

    def adopt(self) -> bool:
        """Take over what a run has left that is no more; False while that run lives. Raises OSError."""
        if not self._lock():
            return False
        try:
            files = _files(self.folder)
            self._reads = self._delivered = _start(self.folder, files)
            self._last = files[-1] if files else 0
            self._appended = _count(self.folder, files, self._reads)
        except OSError:
            os.close(self._folder)
            self._folder = -1
            raise
        self._ended = True
        return True

    def append(self, record: bytes) -> None:
        """Add one record, which holds no newline. Raises OSError, and then has added nothing."""
        back = self._disk.wait(0)
        if self._size >= SEGMENT_BYTES and not self.spent:
            with contextlib.suppress(OSError):  # then the file grows on
                self._next_file()
        line = record + b"\n"
        try:
            self._write(line)
        except OSError as error:
            reserve = self.folder / _RESERVE
            if error.errno not in _FULL or self.spent or not reserve.exists():
                raise
            self.spent = True
            reserve.rename(self._path(self._last + 1))  # its room is its own, whoever else writes
            self._next_file(new=False)
            self._write(line)
        self._size += len(line)
        with self._changed:
            self._appended += 1
            self._changed.notify_all()
        if back and time.monotonic() - self._synced >= SYNC_SECONDS:  # else the next one hears how the last sync ended
            self._synced = time.monotonic()
            self._disk.ask(self._bring)

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._file, line)
            while written < len(line):  # a disk that fills up takes a part first, and answers with the error next
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            raise

    def sync(self, patience: float = PATIENCE_SECONDS) -> bool:
        """Bring what was appended to the disk; False where that takes longer than `patience` seconds. Raises
        OSError."""
        self._synced = time.monotonic()
        return self._disk.finish(self._bring, patience)

    def _bring(self) -> None:
        """The thread of the disk: files that were delivered meanwhile are gone."""
        first, last = self._safe, self._last
        for number in range(first, last + 1):
            with contextlib.suppress(FileNotFoundError):
                sync_path(self._path(number))
        if last > first:
            sync_path(self.folder)
        self._safe = last

    def end(self) -> None:
        """Nothing more will be appended."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self, timeout: float) -> bytes | Literal[Signal.TIMEOUT, Signal.END]:
        """The next record; TIMEOUT after `timeout` seconds without one; END when there will be none. Raises OSError."""
        with self._changed:
            if self._taken == self._appended and not self._ended:
                self._changed.wait(timeout)
            if self._taken == self._appended:
                return Signal.END if self._ended else Signal.TIMEOUT
        line = self._read()
        self._taken += 1
        return line

    def acknowledge(self) -> None:
        """Everything taken has arrived."""
        if self._acknowledged == self._taken:
            return
        first, self._delivered, self._acknowledged = self._delivered[0], self._reads, self._taken
        with contextlib.suppress(OSError):  # on a full disk: then some come twice after a crash
            for number in range(first, self._reads[0]):
                self._path(number).unlink(missing_ok=True)
            if self._sent < 0:
                self._sent = os.open(self.folder / _SENT, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            os.pwrite(self._sent, b"%012d %012d" % self._delivered, 0)  # in one piece, as a kill may come at any time

    def rewind(self) -> None:
        """What was taken and not acknowledged comes again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._reads, self._taken = self._delivered, self._acknowledged

    def close(self) -> None:
        """Let the folder go, and remove it when everything has arrived; also when called twice."""
        if self._folder < 0:
            return
        self.rewind()
        if self._file >= 0:
            with contextlib.suppress(OSError):
                if self.waiting and not self.sync():
                    log.warning("%s: a power cut may cost what was spooled last", self.folder)
            os.close(self._file)
        if self._sent >= 0:
            os.close(self._sent)
        with contextlib.suppress(OSError):
            (self.folder / _RESERVE).unlink(missing_ok=True)
        if not self.waiting:
            with contextlib.suppress(OSError):
                for path in self.folder.iterdir():
                    path.unlink()
                self.folder.rmdir()
        os.close(self._folder)
        self._folder = self._file = self._sent = -1

    def _read(self) -> bytes:
        number, offset = self._reads
        while True:
            if self._reader is None:
                self._reader = self._path(number).open("rb")
                self._reader.seek(offset)
            line = self._reader.readline()
            if line.endswith(b"\n"):
                self._reads = (number, offset + len(line))
                return line[:-1]
            if line:
                log.warning("a torn record of %d bytes ends %s, as a power cut leaves it", len(line), self._reader.name)
            self._reader.close()
            self._reader = None
            number, offset = number + 1, 0

    def _next_file(self, *, new: bool = True) -> None:
        path, before = self._path(self._last + 1), self._file
        make = os.O_CREAT | os.O_EXCL if new else 0
        self._file = os.open(path, os.O_WRONLY | make | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._last, self._size = self._last + 1, 0
        if before >= 0:
            os.close(before)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.jsonl"

    def _lock(self) -> bool:
        """Lock the folder; False where it is locked by somebody else or no more there."""
        try:
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), self.folder.stat()):
                self._folder = handle
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(handle)
        return False


def _set_aside(path: Path) -> None:
    """An empty file with RESERVE_BYTES of the disk behind it; none where there is no such room, which the log says.
    Raises OSError."""
    with path.open("wb") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.fallocate(file.fileno(), _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(RESERVE_BYTES))
    if failed:
        path.unlink()
        log.warning("%s: no room can be set aside: %s", path.parent, os.strerror(ctypes.get_errno()))


def sync_path(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def count_waiting(root: Path) -> int:
    """Records that wait in the spools in a folder, whoever has them open. Raises OSError."""
    waiting = 0
    for folder in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # delivered meanwhile
            files = _files(folder)
            waiting += _count(folder, files, _start(folder, files))
    return waiting


def _files(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.jsonl") if path.stem.isdecimal())


def _start(folder: Path, files: list[int]) -> tuple[int, int]:
    """File and offset of the oldest record that has not arrived."""
    noted = (1, 0)
    with contextlib.suppress(OSError, ValueError):
        number, offset = (folder / _SENT).read_text().split()
        noted = (int(number), int(offset))
    if files and noted[0] not in files:  # it was removed, and then there was no time to note that
        return files[0], 0
    return noted


def _count(folder: Path, files: list[int], start: tuple[int, int]) -> int:
    count = 0
    for number in files:
        if number >= start[0]:
            with (folder / f"{number}.jsonl").open("rb") as file:
                file.seek(start[1] if number == start[0] else 0)
                while block := file.read(_BLOCK):
                    count += block.count(b"\n")
    return count
