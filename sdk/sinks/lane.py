"""The thread of one sink."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edgead.frame import Frame, LostFrame, Signal
from edgead.handover import Handover
from edgead.result import Result
from edgead.sinks.base import Sink

log = logging.getLogger(__name__)

Record = tuple[Result, Frame] | LostFrame

QUEUE = 8  # records; each holds its frame


class Lane:
    """Opens, fills and closes one sink in a thread of its own.

    pause: seconds without a record until the sink is flushed. told: called with the milliseconds that a record took.
    on_error: called with what the sink failed with; it then gets nothing more, and is closed. `put` waits while the
    queue is full, or, for a sink that may skip pictures, skips one, or the news of a lost frame. The newest such news
    still comes when the line pauses.
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
        self._records: Handover[Record] = Handover(QUEUE)
        self._put = self._taken = self._skipped = 0
        self._ending = False
        self._unseen: LostFrame | None = None  # skipped, and nothing came after it

    def put(self, record: Record) -> None:
        """Hand a record over."""
        if self.sink.may_skip and self._put - self._taken >= QUEUE:
            self._unseen = record if isinstance(record, LostFrame) else None
            self._skipped += 1
            if self._skipped == 1:
                log.warning("%s cannot keep up and skips frames", self.sink.where)
            return
        self._unseen = None
        if self._records.put(record):
            self._put += 1

    def end(self) -> None:
        """Nothing more will be put."""
        self._records.end()

    def _run(self) -> None:
        try:
            self.sink.open()
            self.opened.set()
            while (record := self._records.take(self._pause)) is not Signal.END:
                if record is Signal.TIMEOUT:
                    unseen, self._unseen = self._unseen, None
                    if unseen is not None:
                        self._write(unseen)
                    self.sink.flush()
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
            if self._skipped:
                log.warning("%s has skipped %d frames", self.sink.where, self._skipped)

    def _look_ahead(self) -> None:
        """Tell once that the sink should get no more than what is on its way; it still takes that."""
        if not self._ending and self.sink.exhausted is not None:
            self._ending = True
            self._on_error(self.sink.exhausted)

    def _write(self, record: Record) -> None:
        begin = time.perf_counter()
        if isinstance(record, LostFrame):
            self.sink.lost(record)
        else:
            self.sink.behind = self._put - self._taken > QUEUE // 2
            self.sink.write(*record)
        self._told((time.perf_counter() - begin) * 1e3)
