"""What every sink of results is."""

from __future__ import annotations

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
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

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
        return SinkError(what, self.path, advice)
