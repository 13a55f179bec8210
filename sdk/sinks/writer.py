"""The thread that writes results while the next frame is judged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame, Signal
from edgead.handover import Handover
from edgead.histogram import Histogram
from edgead.result import Result
from edgead.sinks.base import Sink

log = logging.getLogger(__name__)

Record = tuple[Result, Frame] | LostFrame

QUEUE = 8  # records; each holds its frame
PAUSE_SECONDS = 1.0
FINISH_SECONDS = 60.0


class SinkWriter:
    """Owns the sinks of a run: opens, fills and closes them in a thread of its own.

    `put` waits while the queue is full: nothing is dropped. When a sink fails, `on_error` is told, the other sinks
    still get every record that was put, and all are closed. `timing` counts the milliseconds that one record takes
    everywhere.
    """

    def __init__(self, sinks: Sequence[Sink], timing: Histogram, on_error: Callable[[BaseException], None]) -> None:
        self._sinks, self._timing, self._on_error = list(sinks), timing, on_error
        self._records: Handover[Record] = Handover(QUEUE)
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgead-sinks", daemon=True)

    def start(self) -> None:
        """Open the sinks; one that cannot be opened has been told to `on_error` when this returns."""
        if self._sinks:
            self._thread.start()
            self._opened.wait()

    def put(self, record: Record) -> None:
        """Hand a record over; wait while the sinks are behind."""
        if self._sinks:
            self._records.put(record)

    def finish(self) -> None:
        """Write what was put, close the sinks, and wait for that. Raises SinkError when they do not come to an end."""
        self._records.end()
        if self._thread.is_alive():
            self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            names = ", ".join(str(sink.path) for sink in self._sinks)
            raise SinkError(f"writing did not end within {FINISH_SECONDS:.0f} s", names, "check that disk")

    def _run(self) -> None:
        try:
            self._each(lambda sink: sink.open())
            self._opened.set()
            while (record := self._records.take(PAUSE_SECONDS)) is not Signal.END:
                if record is Signal.TIMEOUT:
                    self._each(lambda sink: sink.flush())
                else:
                    self._write(record)
            self._each(lambda sink: sink.close())
        finally:
            self._records.close()
            self._opened.set()

    def _write(self, record: Record) -> None:
        begin = time.perf_counter()
        if isinstance(record, LostFrame):
            self._each(lambda sink: sink.lost(record))
        else:
            self._each(lambda sink: sink.write(*record))
        self._timing.add((time.perf_counter() - begin) * 1e3)

    def _each(self, act: Callable[[Sink], None]) -> None:
        """Do one thing with every sink; a sink that fails is closed, and left out from then on."""
        for sink in self._sinks:
            try:
                act(sink)
            except BaseException as error:  # noqa: BLE001 - it is handed to the thread that iterates, which raises it
                self._sinks = [other for other in self._sinks if other is not sink]
                self._on_error(error)
                self._let_go(sink)

    def _let_go(self, sink: Sink) -> None:
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001 - the first error is the one to raise
            log.warning("%s", error)
