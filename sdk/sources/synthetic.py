"""Rendered parts as a source, for trying a line without a camera."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from edgead.errors import DataError, SourceError
from edgead.frame import Image, Reading, Signal
from edgead.sources.base import Source

_EXAMPLE = "synthetic://?seed=1&size=512&defects=0.2&fps=25&frames=100"


@dataclass(frozen=True)
class SyntheticLine:
    """What to render. size: pixels of a side. defects: share of defective parts, 0..1. fps: None as fast as read.
    frames: None without end."""

    seed: int = 1
    size: int = 512
    defects: float = 0.2
    fps: float | None = None
    frames: int | None = None

    def __post_init__(self) -> None:
        if (self.fps is not None and not 0 < self.fps <= 10_000) or (self.frames is not None and self.frames < 0):
            raise ValueError(self)


def parse_line(spec: str) -> SyntheticLine:
    """Read `synthetic://?key=value&...`. Raises SourceError for an unknown key or a value out of range."""
    parts = urlsplit(spec)
    kinds = {"seed": int, "size": int, "defects": float, "fps": float, "frames": int}
    try:
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        if parts.netloc or parts.path.strip("/"):
            raise ValueError(parts.netloc)
        return SyntheticLine(**{key: kinds[key](value) for key, value in given})
    except (ValueError, KeyError):
        raise SourceError("not a synthetic line", spec, f"write it like {_EXAMPLE}") from None


class SyntheticSource(Source):
    """A procedural line: one spec, one sequence of frames. With `fps` it is live and keeps that pace, like a camera."""

    def __init__(self, spec: str = "synthetic://") -> None:
        super().__init__(spec)
        self.line = parse_line(spec)
        self.live = self.line.fps is not None
        self.fps = self.line.fps
        self._images: Iterator[tuple[Image, str]] | None = None
        self._due = 0.0

    def open(self) -> None:
        """Start the renderer. Raises SourceError for a line that cannot be rendered."""
        from edgead.synthetic import frames

        try:
            self._images = frames(seed=self.line.seed, size=self.line.size, defects=self.line.defects)
        except DataError as error:
            raise SourceError(error.what, self.name, error.todo) from error
        self._due = time.monotonic()

    def read(self, timeout: float) -> Reading:
        """The next part, when it is due."""
        if self._images is None:
            raise self._not_open()
        if self.line.frames is not None and self._next_id >= self.line.frames:
            return Signal.END
        if self.line.fps is not None:
            early = self._due - time.monotonic()
            time.sleep(max(0.0, min(early, timeout)))
            if early > timeout:
                return Signal.TIMEOUT
            self._due = max(self._due, time.monotonic() - 1 / self.line.fps) + 1 / self.line.fps
        image, _ = next(self._images)
        return self._frame(image)

    def close(self) -> None:
        """Stop rendering."""
        self._images = None
