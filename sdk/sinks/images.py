"""Pictures of rejects, and of a sample of accepts, beside the results."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2

from edgead.frame import Frame
from edgead.result import Result, Verdict
from edgead.sinks.aside import Aside
from edgead.sinks.spool import sync_path

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0  # for one picture, while the line is not held up by it
SLOW_SECONDS = 0.5  # and while it is: a card that takes longer than a few frames is slow, and does not hang
_TURN_SECONDS = 0.005
_FASTER = "the line was faster than pictures can be written"
_PARTIAL = ".partial"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{16}-\d+-(?P<verdict>accept|warn|reject)\.(?:jpg|png)")
_AT = "%Y%m%dT%H%M%S.%f"


@dataclass(frozen=True)
class Pictures:
    """Which frames are kept as pictures, how, and for how long.

    accepts: of the accepted frames, this part (0..1) is kept, drawn by a generator seeded with the digits of the run;
    all others are kept if `rejects`. format: jpg (with `quality`, 1..100) or png (lossless, and slow). max_bytes,
    max_days: what may be kept; then the oldest accepts go first, the oldest others next.
    """

    rejects: bool = True
    accepts: float = 0.001
    format: str = "jpg"
    quality: int = 95
    max_bytes: int = 2 << 30
    max_days: float = 30.0

    def __post_init__(self) -> None:
        if self.format not in ("jpg", "png") or not 0 <= self.accepts <= 1 or not 1 <= self.quality <= 100:
            raise ValueError("pictures are jpg or png, accepts is 0 to 1, quality 1 to 100")


@dataclass(frozen=True, slots=True)  # there may be half a million of them
class Kept:
    """A picture in the folder. written: when the file was written, seconds since 1970 UTC."""

    name: str
    bytes: int
    written: float

    @property
    def at(self) -> str:
        """When the frame was captured, ISO 8601."""
        stamp = datetime.strptime(self.name.partition("Z")[0] + "+0000", _AT + "%z")
        return stamp.isoformat(timespec="microseconds")


def image_folder(database: Path) -> Path:
    """Where the pictures of a results database are: `results.sqlite.images` beside `results.sqlite`."""
    return database.with_name(f"{database.name}.images")


class PictureFolder:
    """The pictures of one database. One thread calls `keep`, another `due`, `remove` and `put_back`.

    A picture is on the disk, whole, before its record is written. One that cannot be written is left out, and its
    record says why: a picture never costs a verdict. Nor does it hold one up: a thread of its own writes it, and
    whoever waits gives up after SLOW_SECONDS once the line falls behind, else after PATIENCE_SECONDS. One that is
    written after all is removed, and until then no other is begun.
    """

    def __init__(self, folder: Path, pictures: Pictures) -> None:
        self._folder, self._pictures = folder, pictures
        self._lock = threading.Lock()
        self._accepts: deque[Kept] = deque()  # the oldest first
        self._others: deque[Kept] = deque()
        self._held = 0  # bytes
        self._sample: random.Random | None = None
        self._warned = False
        self._disk = Aside(str(folder))

    @property
    def trouble(self) -> str:
        """That the disk hangs; empty where it does not."""
        return self._disk.trouble

    def open(self, run: str) -> None:
        """See what is there; once, however often the database is opened. Raises OSError."""
        if self._sample is not None:
            return
        self._sample = random.Random(run)
        names = sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []
        with self._lock:
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # another run has the same database
                    self._find(name)

    def _find(self, name: str) -> None:
        path = self._folder / name
        if match := _NAME.fullmatch(name):
            file = path.stat()
            kept = Kept(name, file.st_size, file.st_mtime)
            (self._accepts if match["verdict"] == "accept" else self._others).append(kept)
            self._held += kept.bytes
        elif name.endswith(_PARTIAL) and path.stat().st_mtime < time.time() - 3600:
            path.unlink()  # a killed process left it

    def keep(self, result: Result, frame: Frame, identity: str, *, behind: Callable[[], bool]) -> dict[str, Any] | None:
        """Keep a frame if it is one to keep: what its record says of it, `file` and `sha256`, or why there is none
        (`missing`)."""
        accepted = result.verdict is Verdict.ACCEPT
        if not (self._is_drawn() if accepted else self._pictures.rejects):
            return None
        if behind() or not frame.image.size:
            return {"missing": _FASTER}
        at = datetime.fromtimestamp(result.captured_at, timezone.utc)
        name = f"{at:{_AT}}Z-{identity}-{result.verdict.value}.{self._pictures.format}"
        try:
            content = self._encoded(frame)
            if missing := self._unwritten(name, content, behind):
                return {"missing": missing}
        except (OSError, cv2.error) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or "the frame cannot be encoded"
            if not self._warned:
                log.warning("a picture cannot be kept, %s: %s", self._folder / name, why)
                self._warned = True
            return {"missing": why}
        kept = Kept(name, len(content), time.time())
        with self._lock:
            (self._accepts if accepted else self._others).append(kept)
            self._held += len(content)
        return {"file": name, "sha256": hashlib.sha256(content).hexdigest()}

    def due(self) -> list[tuple[Kept, str]]:
        """Take out what is beyond the limits, with the reason: `age` or `space`."""
        found: list[tuple[Kept, str]] = []
        oldest = time.time() - self._pictures.max_days * 86400
        with self._lock:
            for queue in (self._accepts, self._others):
                while queue and queue[0].written < oldest:
                    found.append((queue.popleft(), "age"))
            self._held -= sum(kept.bytes for kept, _ in found)
            while self._held > self._pictures.max_bytes:
                kept = (self._accepts or self._others).popleft()
                self._held -= kept.bytes
                found.append((kept, "space"))
        return found

    def remove(self, removed: list[tuple[Kept, str]]) -> None:
        """Remove pictures whose removal is on record."""
        for kept, _ in removed:
            with contextlib.suppress(OSError):  # then the next run finds it and tries again
                (self._folder / kept.name).unlink(missing_ok=True)

    def put_back(self, removed: list[tuple[Kept, str]]) -> None:
        """Their removal did not come on record: they stay."""
        with self._lock:
            for kept, _ in reversed(removed):
                (self._accepts if _is_accept(kept) else self._others).appendleft(kept)
                self._held += kept.bytes

    def _is_drawn(self) -> bool:
        return self._sample is not None and self._sample.random() < self._pictures.accepts

    def _encoded(self, frame: Frame) -> bytes:
        options = [cv2.IMWRITE_JPEG_QUALITY, self._pictures.quality] if self._pictures.format == "jpg" else []
        done, content = cv2.imencode(f".{self._pictures.format}", frame.image, options)
        if not done:
            raise OSError(0, "the frame cannot be encoded")
        return content.tobytes()

    def _unwritten(self, name: str, content: bytes, behind: Callable[[], bool]) -> str:
        """Write a picture, or say why it is not; empty where it is. Raises OSError."""
        decided = threading.Lock()  # whether it is kept: whoever has it first says so
        if not self._disk.ask(functools.partial(self._write, name, content, decided)):
            return self._disk.trouble or _FASTER
        begin = time.monotonic()
        while not self._disk.wait(_TURN_SECONDS):
            patience = SLOW_SECONDS if behind() else PATIENCE_SECONDS
            if time.monotonic() - begin > patience and decided.acquire(blocking=False):
                return self._disk.trouble or _FASTER
        return ""

    def _write(self, name: str, content: bytes, decided: threading.Lock) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".{name}{_PARTIAL}"
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._folder / name)
            sync_path(self._folder)
            if not decided.acquire(blocking=False):
                (self._folder / name).unlink()
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def _is_accept(kept: Kept) -> bool:
    match = _NAME.fullmatch(kept.name)
    return match is not None and match["verdict"] == "accept"
