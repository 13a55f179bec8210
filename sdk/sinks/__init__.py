"""Where results go: `open_sink` takes a path and answers with the sink for its suffix."""

from __future__ import annotations

from pathlib import Path

from edgead.errors import SinkError
from edgead.sinks.base import Sink
from edgead.sources.base import Source

__all__ = ["Sink", "open_sink"]

KNOWN = ".jsonl, .sqlite, .db, .mp4, .avi"


def open_sink(path: str | Path, *, source: Source | None = None, scale: tuple[float, float] | None = None) -> Sink:
    """The sink for a path: `.jsonl`, `.sqlite` or `.db`, `.mp4` or `.avi`. Nothing is opened yet.

    source, scale: for video, see `VideoSink`. Raises SinkError for another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".jsonl":
        from edgead.sinks.jsonl import JsonlSink

        return JsonlSink(path)
    if suffix in (".sqlite", ".db"):
        from edgead.sinks.sqlite import SqliteSink

        return SqliteSink(path)
    if suffix in (".mp4", ".avi"):
        from edgead.sinks.video import VideoSink

        return VideoSink(path, source=source, scale=scale)
    raise SinkError(f"no sink is known for {suffix or 'a name without suffix'}", path, f"give one of {KNOWN}")
