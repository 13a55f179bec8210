"""What a disk may hold up, done aside."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

HELD_SECONDS = 5.0
"""A disk that does not come back for so long hangs, and that is said."""


class Aside:
    """Makes one call after the other, each in a thread of its own, so that nobody has to wait for a disk that hangs.

    One thread asks and waits. where: what the log calls the disk.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._since = 0.0
        self._told = False

    @property
    def trouble(self) -> str:
        """That the call has not come back for HELD_SECONDS; empty where it has."""
        thread, held = self._thread, time.monotonic() - self._since
        hangs = thread is not None and thread.is_alive() and held > HELD_SECONDS
        return f"the disk does not answer for {held:.0f} s" if hangs else ""

    def ask(self, call: Callable[[], object]) -> bool:
        """Make a call; False, and nothing is done, while the one before has not come back."""
        if not self._is_back(0.0):
            return False
        self._error, self._since = None, time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(call,), name="edgead-disk", daemon=True)
        self._thread.start()
        return True

    def wait(self, seconds: float) -> bool:
        """Whether the call comes back within so many seconds. Raises what it has raised, once."""
        if not self._is_back(seconds):
            return False
        error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def finish(self, call: Callable[[], object], seconds: float) -> bool:
        """Make a call once the one before has come back; whether all of that is done within so many seconds. Raises
        what either has raised."""
        until = time.monotonic() + seconds
        return self.wait(seconds) and self.ask(call) and self.wait(until - time.monotonic())

    def _is_back(self, seconds: float) -> bool:
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))
            if self._thread.is_alive():
                if not self._told and (trouble := self.trouble):
                    self._told = True
                    log.warning("%s: %s; the line goes on", self._where, trouble)
                return False
            self._thread = None
        if self._told:
            self._told = False
            log.warning("%s: the disk answers again", self._where)
        return True

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._error = error
