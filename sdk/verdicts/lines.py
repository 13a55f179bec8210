"""A part trigger that is a text stream: one line for each part."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence

from edgead.errors import SourceError
from edgead.frame import Frame
from edgead.verdicts.trigger import LONGEST_NAME, End, Event, Refused, named

MOST_BYTES = 1 << 16  # that are read for one frame
_LONGEST_LINE = 4 * LONGEST_NAME + 16  # bytes; UTF-8 takes up to 4 for a character


class Lines:
    """Bytes -> events. `part` begins a part, `part 4711` one of that name, `end` ends it; an empty line is nothing,
    and every other line is refused."""

    def __init__(self) -> None:
        self._begun = b""
        self._too_long = False

    def feed(self, content: bytes) -> list[Event]:
        """The events of the lines that are whole now. A line without its end waits for it."""
        *whole, self._begun = (self._begun + content).split(b"\n")
        events = []
        for line in whole:
            if self._too_long:
                self._too_long = False  # the rest of a line that was refused before
            elif line.strip():
                events.append(read_line(line))
        if len(self._begun) > _LONGEST_LINE:
            if not self._too_long:
                events.append(read_line(self._begun))
            self._begun, self._too_long = b"", True
        return events


def read_line(line: bytes) -> Event:
    """One line, without its end, -> what it says."""
    text = line.decode("utf-8", "replace").strip()
    word, _, name = text.partition(" ")
    if word == "part" and len(line) <= _LONGEST_LINE:
        return named(name.strip())
    return End() if text == "end" else Refused(f"the trigger said {text[:40]!r}, not `part`, `part NAME` or `end`")


_ENDED = "the trigger's lines have ended: no part begins any more"


class LineTrigger:
    """The lines of an open file descriptor: standard input, a pipe, a serial port.

    It is asked what is there and never waits. A part begins with the first frame that is judged after its line came,
    so a line should be written before the part's first picture is taken. The end of the stream is a fault, as nobody
    tells parts apart from there on; a part under way goes on to the end of the run. A stream that cannot be read is
    SourceError.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._lines = Lines()

    def observe(self, frame: Frame | None) -> Sequence[Event]:
        """The lines that came since the last call. Raises SourceError."""
        if self._descriptor is None:
            return []
        try:
            content = os.read(self._descriptor, MOST_BYTES) if _readable(self._descriptor) else None
        except OSError as error:
            what = f"the trigger's lines cannot be read: {error.strerror}"
            raise SourceError(what, "trigger", "check what writes them, then start again") from error
        if content is None:
            return []
        if content:
            return self._lines.feed(content)
        self._descriptor = None
        return [*self._lines.feed(b"\n"), Refused(_ENDED)]  # a last line may come without its end

    def close(self) -> None:
        """Read no more. The descriptor stays open: it belongs to whoever gave it."""
        self._descriptor = None


def _readable(descriptor: int) -> bool:
    """Whether reading gives something at once: bytes, or the end."""
    ready = select.poll()  # select.select takes no descriptor from 1024 on
    ready.register(descriptor, select.POLLIN)
    return bool(ready.poll(0))
