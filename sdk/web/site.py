"""All that the pages are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgead.summary import Summary
from edgead.web.access import Access
from edgead.web.board import Board
from edgead.web.darkroom import Darkroom
from edgead.web.files import health
from edgead.web.settings import Settings

FOLDER = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass
class Site:
    """What a dashboard knows. title: of the page. files: that the run's other sinks write. summary: the counts of the
    run, where somebody gave them. pages: the page's files by name, read once. closing: the server is about to end."""

    board: Board
    darkroom: Darkroom
    settings: Settings
    access: Access
    title: str
    files: Sequence[Path] = ()
    summary: Callable[[], Summary] | None = None
    closing: bool = False
    pages: dict[str, bytes] = field(
        default_factory=lambda: {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}
    )

    def __post_init__(self) -> None:
        together = b"".join(self.pages[name] for name in sorted(self.pages))
        self.version = hashlib.sha256(together).hexdigest()[:16]

    def state(self, camera: int, run: str, after: int, *, editor: bool) -> dict[str, Any]:
        """What the page shows; points of the timeline only after number `after`, if the page has seen those of this
        run."""
        summary = self.summary() if self.summary is not None else None
        written = summary.stages["sinks"] if summary is not None else None
        return {
            **self.board.to_json(camera, after if run == self.board.run else 0),
            "version": self.version,
            "title": self.title,
            "private": self.access.private,
            "editor": editor,
            "settings": self.settings.to_json(),
            "rejects": self.darkroom.rejects(),
            "files": health(self.files),
            "dropped": None if summary is None else summary.dropped,
            "spooled": 0 if summary is None else summary.spooled,
            "troubles": {} if summary is None else summary.troubles,
            "writing": written.percentile(95) if written is not None and written.count else None,
        }
