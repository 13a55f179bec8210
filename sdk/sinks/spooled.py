"""A sink that may be slow or away: what it cannot take waits on the disk."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import re
import threading
import time
from pathlib import Path

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame, Signal
from edgead.result import Result
from edgead.sinks.base import Sink
from edgead.sinks.reason import reason_of
from edgead.sinks.records import RecordSink
from edgead.sinks.spool import Spool

log = logging.getLogger(__name__)

_ID = re.compile(r"\w{1,64}-[0-9]{1,18}", re.ASCII)

PAUSE_SECONDS = 1.0
RETRY_SECONDS = 0.5  # before the first retry; each next waits twice as long, up to LONGEST_RETRY, give or take half
LONGEST_RETRY = 30.0
QUIET_SECONDS = 60.0  # between two reports of failure, for a sink that comes and goes
CLOSE_SECONDS = 10.0  # how long the end of a run waits for records that still come through
STUCK_SECONDS = 20.0  # and how much longer for the one that is being delivered
LATE_SECONDS = 10.0  # without a record taken, while some wait, until that is told
MOST_LEFT = 64  # spools of earlier runs open at once: each takes a descriptor, and a crash loop leaves thousands


class SpooledSink(Sink):
    """A record sink behind a spool on the disk (`<name>.spool` beside it, or `spool`).

    Every record goes to the spool first, and a thread of its own delivers from there, in order, each at least once.
    A sink that is slow or fails therefore holds nothing up and loses nothing: it is tried again, at growing
    intervals, and the log says so, at most once a minute, and once more when it takes records again. What a run could
    not deliver, also one that was killed, is delivered first by the next run of the same sink. `waiting` counts what is
    not delivered, of earlier runs what the MOST_LEFT spools hold whose turn is next.

    The sink itself has to open when the run begins, so that a wrong name shows at once. A spool that cannot be
    written (the disk is full) is an error: SinkError, which ends the run, as another verdict could only be lost; what
    was on its way until then finds room that was set aside for it. So is whatever else ends the thread that delivers.
    One on a disk that hangs holds up the thread that writes; see `Lane` for what becomes of the line.
    """

    lean = True

    def __init__(self, inner: RecordSink, spool: Path | None = None) -> None:
        super().__init__(inner.path)
        self._inner = inner
        self._root = spool or spool_of(inner.path)
        self._spool = Spool(self._root)
        self._left: list[Spool] = []  # by earlier runs
        self._thread = threading.Thread(target=self._deliver, name=f"edgead-deliver-{inner.path.name}", daemon=True)
        self._closing = threading.Event()
        self._until = 0.0
        self._failures = 0
        self._took_at = float("inf")  # when the sink took something last, or nothing waited
        self._told, self._told_at = False, float("-inf")
        self._broken: SinkError | None = None  # why nothing is delivered any more
        self._raised = False  # it has reached the thread that writes

    @property
    def where(self) -> str:
        return self._inner.where

    @property
    def waiting(self) -> int:
        """Records that the sink does not have yet."""
        return self._spool.waiting + sum(spool.waiting for spool in self._left)

    @property
    def behind(self) -> bool:
        return self._inner.behind

    @behind.setter
    def behind(self, behind: bool) -> None:
        self._inner.behind = behind

    @property
    def trouble(self) -> str:
        late = time.monotonic() - self._took_at
        if late > LATE_SECONDS and (waiting := self.waiting):
            return f"has taken nothing for {late:.0f} s, {waiting} records wait in {self._root}"
        return self._spool.trouble or self._inner.trouble

    @property
    def exhausted(self) -> SinkError | None:
        if not self._spool.spent:
            return None
        return SinkError("the disk is full; what was on its way is kept", self._root, "free space, and start again")

    def open(self) -> None:
        """Open the sink, take over what earlier runs have left, and begin to deliver."""
        self._inner.run = self.run
        try:
            self._inner.open()
            self._left = self._abandoned()
            self._spool = Spool(self._root / f"{time.time_ns():020d}-{self.run}")
            self._spool.create()
        except OSError as error:
            raise self._unspooled(error) from error
        if self._left and self.waiting:
            log.warning("%s gets %d records that an earlier run has left", self.where, self.waiting)
        self._took_at = time.monotonic()
        self._thread.start()

    def write(self, result: Result, frame: Frame) -> None:
        """Spool one verdict."""
        self._append(self._inner.of_result(result, frame))

    def lost(self, lost: LostFrame) -> None:
        """Spool one fault."""
        self._append(self._inner.of_fault(lost))

    def flush(self) -> None:
        """Bring the spool to the disk."""
        self._look()
        try:
            self._spool.sync()
        except OSError as error:
            raise self._unspooled(error) from error

    def close(self) -> None:
        """Deliver what is spooled while that succeeds, and close the sink; what is left waits for the next run."""
        if self._thread.ident is None:
            self._inner.close()
        elif not self._closing.is_set():
            self._until = time.monotonic() + CLOSE_SECONDS
            self._closing.set()
            self._spool.end()
            self._thread.join(CLOSE_SECONDS + STUCK_SECONDS)
            if self.waiting:
                log.warning("%d records for %s wait in %s for the next run", self.waiting, self.where, self._root)
        if self._thread.is_alive():
            return  # the process ends without it, and lets go of the spool
        for spool in (*self._left, self._spool):
            spool.close()
        with contextlib.suppress(OSError):
            self._root.rmdir()  # unless another run uses it, or records wait
        if not self._raised:
            self._look()

    def _look(self) -> None:
        """Raise what has ended the thread that delivers."""
        if self._broken is not None:
            self._raised = True
            raise self._broken

    def _append(self, record: bytes) -> None:
        self._look()
        try:
            self._spool.append(record)
        except OSError as error:
            raise self._unspooled(error) from error
        if not self._told and time.monotonic() - self._took_at > LATE_SECONDS and (trouble := self.trouble):
            self._tell(f"{self.where} {trouble}")

    def _abandoned(self, after: str = "") -> list[Spool]:
        """Take over the oldest spools that runs have left which are no more, of those with names after this one."""
        left: list[Spool] = []
        for folder in sorted(self._root.iterdir()) if self._root.is_dir() else ():
            spool = Spool(folder)
            if folder.name > after and folder.is_dir() and self._has_adopted(spool):
                if spool.waiting:
                    left.append(spool)
                else:
                    spool.close()
            if len(left) == MOST_LEFT:
                break
        return left

    def _has_adopted(self, spool: Spool) -> bool:
        try:
            return spool.adopt()
        except OSError as error:  # a bad sector of long ago must not keep the line from starting
            log.warning("%s cannot be read, it stays as it is: %s", spool.folder, error.strerror)
            return False

    def _deliver(self) -> None:
        """The thread that delivers: everything of one spool after the other, the run's own last."""
        try:
            while self._left:
                for spool in self._left:
                    if not self._came_through(spool):
                        return
                    spool.close()
                self._left = self._abandoned(after=self._left[-1].folder.name)
            self._came_through(self._spool)
        except BaseException as error:  # noqa: BLE001 - the thread that writes raises it
            self._break(error)
        try:
            self._inner.close()
        except SinkError as error:
            log.warning("%s", error)
        except BaseException as error:  # noqa: BLE001 - the thread that writes raises it
            self._break(error)

    def _break(self, error: BaseException) -> None:
        """Nothing is delivered any more; the first error is the one to raise."""
        what = f"delivering has ended: {type(error).__name__}: {reason_of(error)}"
        broken = SinkError(what, self.where, f"start again; what it did not take waits in {self._root}")
        broken.__cause__ = error
        log.error("%s", broken)
        self._broken = self._broken or broken

    def _came_through(self, spool: Spool) -> bool:
        """Deliver a spool, again and again until that succeeds; False when the run's time is over before."""
        last = False
        while not self._passed_on(spool):
            if last:
                return False
            last = self._closing.is_set()  # then once more, without waiting
        return True

    def _passed_on(self, spool: Spool) -> bool:
        """Deliver a spool to its end; False when that failed or the run's time is over."""
        try:
            if self._failures:
                self._inner.close()
                self._inner.open()
            while (record := spool.take(PAUSE_SECONDS)) is not Signal.END:
                if record is Signal.TIMEOUT:
                    self._inner.flush()
                    self._has_taken(spool)
                elif not _readable(record):
                    log.warning("a record in %s is damaged and passed over", spool.folder)
                elif self._inner.keep(record):
                    self._has_taken(spool)
                if self._closing.is_set() and time.monotonic() > self._until:
                    break
            self._inner.flush()
            self._has_taken(spool)
        except (SinkError, OSError) as error:
            spool.rewind()
            self._failed_with(error)
            return False
        return record is Signal.END

    def _has_taken(self, spool: Spool) -> None:
        spool.acknowledge()
        self._failures, self._took_at = 0, time.monotonic()
        if self._told:
            self._told = False
            log.warning("%s takes records again, %d wait", self.where, self.waiting)

    def _failed_with(self, error: Exception) -> None:
        if not self._failures:
            self._tell(f"{error}; what it did not take waits in {self._root}")
        pause = min(LONGEST_RETRY, RETRY_SECONDS * 2 ** min(self._failures, 16)) * random.uniform(0.5, 1.5)
        self._failures += 1
        self._closing.wait(pause)

    def _tell(self, what: str) -> None:
        if time.monotonic() - self._told_at >= QUIET_SECONDS:
            self._told, self._told_at = True, time.monotonic()
            log.warning("%s", what)

    def _unspooled(self, error: OSError) -> SinkError:
        return SinkError(f"cannot spool, this record is not kept: {error.strerror}", self._root, "free space")


def spool_of(path: Path) -> Path:
    """Where the records wait that a sink does not have yet: `results.sqlite.spool` beside `results.sqlite`."""
    return path.with_name(f"{path.name}.spool")


def _readable(record: bytes) -> bool:
    try:
        found = json.loads(record)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and _ID.fullmatch(str(found.get("id"))) is not None
