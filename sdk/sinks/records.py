"""Records: what a run says of a frame, as bytes that can be chained, spooled and sent."""

from __future__ import annotations

import json
from abc import abstractmethod
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks.base import Sink


def moment(seconds: float) -> str:
    """Seconds since 1970-01-01 UTC as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")


def fault(lost: LostFrame) -> dict[str, Any]:
    """A lost frame, ready for JSON."""
    at = moment(lost.captured_at)
    return {"frame_id": lost.frame_id, "source": lost.source, "captured_at": at, "fault": lost.reason}


def canonical(record: dict[str, Any]) -> bytes:
    """The one way in which a record is written: JSON in ASCII, keys sorted, nothing between the tokens, floats as the
    shortest decimal that reads back as the same float64. Raises ValueError for a NaN or an infinity."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _valid(value: Any) -> Any:
    """The same in valid Unicode; what is none shows as `\\udcff`."""
    if isinstance(value, dict):
        return {key: _valid(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_valid(one) for one in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


class RecordSink(Sink):
    """A sink that keeps records alone, and so can be given one later than it was made.

    A record is what `Result.record` or `fault` says, with `kind` (verdict or fault) and `id`: 16 hexadecimal digits of
    the run, a dash, and the number of the record in the run, from 1. Every sink of a run gives a record the same id.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._number = 0

    @abstractmethod
    def keep(self, record: bytes) -> bool:
        """Keep one `canonical` record. True when this and every one before it are kept for good.

        A record may come twice, as somebody who was cut off does not know whether it arrived. Raises SinkError when it
        cannot be kept now.
        """

    def write(self, result: Result, frame: Frame) -> None:
        """Keep one verdict."""
        self.keep(self.of_result(result, frame))

    def lost(self, lost: LostFrame) -> None:
        """Keep one fault."""
        self.keep(self.of_fault(lost))

    def of_result(self, result: Result, frame: Frame) -> bytes:
        """The record of a verdict."""
        return self._numbered("verdict", result.record())

    def of_fault(self, lost: LostFrame) -> bytes:
        """The record of a lost frame."""
        return self._numbered("fault", fault(lost))

    def next_id(self) -> str:
        """The id that the next record gets."""
        return f"{self.run}-{self._number + 1}"

    def _numbered(self, kind: str, record: dict[str, Any]) -> bytes:
        try:
            made = canonical({"id": self.next_id(), "kind": kind, **record})
            if b"\\ud" in made:  # it may be half of a pair, as in a file name that is no Unicode, which SQLite hides
                made = canonical(_valid(json.loads(made)))
        except ValueError as error:
            raise self._failed(f"a {kind} cannot be written: {error}", "check the detector") from error
        self._number += 1
        return made
