"""What every sink of results is."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result


class Sink(ABC):
    """A file that keeps what a run found out.

    Making a sink takes nothing; `open`, `close` and everything between are called by one thread. A method that fails
    raises SinkError and leaves what was written before readable, with nothing half-written after it. After an error
    only `close` is called.

    run: 16 hexadecimal digits that are this run's alone; a stream gives all its sinks the same. may_skip: a picture of
    the line rather than a record of it, which may leave frames out where waiting would hold up the line. behind: more
    than half of the sink's queue is full, so it should leave out what it can; it may change at any time. prompt: it
    moves something, and gets a verdict before any other sink does. lean: it can do without the arrays of a frame and
    its result, and gets them empty where it has held up many records.
    """

    may_skip = False
    lean = False
    prompt = False
    behind = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.run = secrets.token_hex(8)

    @abstractmethod
    def open(self) -> None:
        """Make or open the file. Raises SinkError where that is not possible."""

    @abstractmethod
    def write(self, result: Result, frame: Frame) -> None:
        """Keep one verdict and what belongs to it."""

    @abstractmethod
    def lost(self, lost: LostFrame) -> None:
        """Keep the news that a frame was lost."""

    @abstractmethod
    def flush(self) -> None:
        """Make everything written so far survive a power cut; called whenever the line pauses for a second."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file; also after an error, and when called twice."""

    @property
    def exhausted(self) -> SinkError | None:
        """Why nothing more should be given than what is on its way, which is still kept; None where all is well."""
        return None

    @property
    def trouble(self) -> str:
        """What keeps it from its work just now; empty where nothing does. For any thread; no secrets."""
        return ""

    @property
    def where(self) -> str:
        """What messages call the sink; no secrets."""
        return str(self.path)

    def __enter__(self) -> Sink:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _failed(self, what: str, todo: str = "") -> SinkError:
        advice = todo or "free space or correct the permissions, then start again; what was written before is kept"
        return SinkError(what, self.where, advice)
