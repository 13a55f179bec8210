"""The thread of one sink."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgead.frame import Frame, LostFrame, Signal
from edgead.handover import Handover
from edgead.result import Result
from edgead.sinks.aside import HELD_SECONDS
from edgead.sinks.base import Sink

log = logging.getLogger(__name__)

Record = tuple[Result, Frame] | LostFrame

QUEUE = 8  # records; each holds its frame
PACE_SECONDS = 0.005  # that a record waits for a sink that is merely busy
BACKLOG = 10_000  # records without their frames, where a sink can do without: some 40 MB


class Lane:
    """Opens, fills and closes one sink in a thread of its own.

    pause: seconds without a record until the sink is flushed. told: called with the milliseconds that a record took.
    on_error: called with what the sink failed with; it then gets nothing more, and is closed.

    QUEUE records wait with their frames. What comes then waits without, up to BACKLOG, for a sink that is `lean`, so
    that a disk that hangs does not hold up the line. Each of those gives the sink PACE_SECONDS first: a loop without a
    camera's pauses would else fill the memory, and a disk that is full has room for few. For a sink that may skip
    pictures it is skipped, the news of a lost frame as well, of which the newest still comes when the line pauses.
    Otherwise `put` waits: nothing is lost.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        pause: float,
        told: Callable[[float], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.sink = sink
        self.opened = threading.Event()
        self.thread = threading.Thread(target=self._run, name="edgead-sinks", daemon=True)
        self._pause, self._told, self._on_error = pause, told, on_error
        self._room = BACKLOG if sink.lean else QUEUE
        self._records: Handover[Record] = Handover(self._room)
        self._put = self._taken = self._skipped = 0
        self._since = 0.0  # when what the sink does now began; 0 where it does nothing
        self._ending = self._told_held = self._told_full = False
        self._unseen: LostFrame | None = None  # skipped, and nothing came after it

    @property
    def waiting(self) -> int:
        """Records that wait in memory."""
        return self._put - self._taken

    @property
    def trouble(self) -> str:
        """What keeps the sink from its work; empty where nothing does."""
        since = self._since
        held = time.monotonic() - since if since else 0.0
        if held > HELD_SECONDS:
            return f"takes nothing for {held:.0f} s, {self.waiting} records wait in memory"
        return self.sink.trouble

    def put(self, record: Record) -> None:
        """Hand a record over."""
        waiting = self.waiting
        if self.sink.may_skip and waiting >= QUEUE:
            self._unseen = record if isinstance(record, LostFrame) else None
            self._skipped += 1
            if self._skipped == 1:
                log.warning("%s cannot keep up and skips frames", self.sink.where)
            return
        self._unseen = None
        if self.sink.lean and waiting >= QUEUE:
            waiting = self._paced()
        self._tell(waiting)
        if self._records.put(_without_arrays(record) if self.sink.lean and waiting >= QUEUE else record):
            self._put += 1
        self.sink.behind = self.waiting > QUEUE // 2

    def end(self) -> None:
        """Nothing more will be put."""
        self._records.end()

    def _run(self) -> None:
        try:
            self.sink.open()
            self.opened.set()
            self._since = 0.0
            while (record := self._records.take(self._pause)) is not Signal.END:
                if record is Signal.TIMEOUT:
                    unseen, self._unseen = self._unseen, None
                    if unseen is not None:
                        self._write(unseen)
                    self._since = time.monotonic()
                    self.sink.flush()
                    self._since = 0.0
                else:
                    self._taken += 1
                    self._write(record)
                    self._look_ahead()
            self.sink.close()
        except BaseException as error:  # noqa: BLE001 - it is handed to the thread that iterates, which raises it
            self._on_error(error)
            try:
                self.sink.close()
            except Exception as later:  # noqa: BLE001 - the first error is the one to raise
                log.warning("%s", later)
        finally:
            self._records.close()
            self.opened.set()
            self._since = 0.0
            if self._skipped:
                log.warning("%s has skipped %d frames", self.sink.where, self._skipped)

    def _paced(self) -> int:
        """The records that wait once the sink had a moment to catch up."""
        until = time.monotonic() + PACE_SECONDS
        while (waiting := self.waiting) >= QUEUE and time.monotonic() < until:
            time.sleep(PACE_SECONDS / 10)
        return waiting

    def _look_ahead(self) -> None:
        """Tell once that the sink should get no more than what is on its way; it still takes that."""
        if not self._ending and self.sink.exhausted is not None:
            self._ending = True
            self._on_error(self.sink.exhausted)

    def _tell(self, waiting: int) -> None:
        """Say once that the sink is held up, and once that the line is."""
        if not self._told_held and (since := self._since) and time.monotonic() - since > HELD_SECONDS:
            self._told_held = True
            log.warning("%s %s; at %d the line waits", self.sink.where, self.trouble, self._room)
        if not self._told_full and waiting >= self._room > QUEUE:
            self._told_full = True
            log.warning("%s has %d records waiting in memory: the line waits for it", self.sink.where, waiting)

    def _write(self, record: Record) -> None:
        begin = time.perf_counter()
        self._since = time.monotonic()
        if isinstance(record, LostFrame):
            self.sink.lost(record)
        else:
            self.sink.behind = self.waiting > QUEUE // 2
            self.sink.write(*record)
        self._since = 0.0
        self._told((time.perf_counter() - begin) * 1e3)
        if self._told_held:
            self._told_held = self._told_full = False
            log.warning("%s takes records again, %d wait in memory", self.sink.where, self.waiting)


def _without_arrays(record: Record) -> Record:
    if isinstance(record, LostFrame):
        return record
    result, frame = record
    nothing = np.empty((0, 0), np.float32)
    lean = replace(result, anomaly_map=nothing, pred_mask=nothing > 0, overlay=None)
    return lean, replace(frame, image=np.empty((0, 0, 3), np.uint8))
