"""A folder that is watched as a source: `watch:///data/line1` gives every new image once it is whole."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path

from edgead.errors import SourceError
from edgead.frame import Reading, Signal
from edgead.sources.folder import ImageSource, has_image_name

POLL_SECONDS = 0.05
QUIET_SECONDS = 0.2  # a file that has not grown for so long is whole; one that is renamed into place always is

_State = tuple[int, int, int]  # inode, size, mtime in nanoseconds


class WatchedFolder(ImageSource):
    """Images that arrive in a folder, in the order of their arrival, each once, without end.

    Those that are there at the start are not judged. A new file is taken when its size and time have stood still for
    QUIET_SECONDS, so that it may be written slowly and in place; a file written again under its name is a new image. A
    file that cannot be read is a LostFrame with its path. Looking at the folder again and again, and not inotify, also
    sees what other computers write to a network share.

    Images wait in their folder: nothing is dropped, and under `latest` too each is judged.
    """

    def __init__(self, spec: str) -> None:
        super().__init__(spec)
        self._folder = Path(spec.partition("://")[2])
        self._known: dict[str, _State] | None = None
        self._growing: dict[str, tuple[_State, float]] = {}
        self._ready: deque[Path] = deque()

    def open(self) -> None:
        """Note what is there already. Raises SourceError where there is no such folder."""
        if not self._folder.is_dir():
            raise SourceError("there is no such folder to watch", self.name, "write watch:// and the folder's path")
        self._growing, self._ready = {}, deque()
        self._known = self._look() or {}

    def read(self, timeout: float) -> Reading:
        """The next new image, or TIMEOUT when none was complete within `timeout` seconds."""
        until = time.monotonic() + timeout
        while not self._ready:
            self._notice()
            left = until - time.monotonic()
            if not self._ready and left <= 0:
                return Signal.TIMEOUT
            if not self._ready:
                time.sleep(min(POLL_SECONDS, left))
        return self._read(self._ready.popleft())

    def close(self) -> None:
        """Forget the folder."""
        self._known = None

    def _notice(self) -> None:
        """Put the files that have become whole in line, the one that was written first in front."""
        if self._known is None:
            raise self._not_open()
        there = self._look()
        if there is None:
            return
        now = time.monotonic()
        whole: list[tuple[int, str]] = []
        for name, state in there.items():
            if self._known.get(name) == state:
                continue
            before, since = self._growing.get(name, (None, now))
            if state != before:
                self._growing[name] = (state, now)
            elif now - since >= QUIET_SECONDS:
                whole.append((state[2], name))
                self._known[name] = state
        for name in [name for name in self._growing if name not in there or self._known.get(name) == there[name]]:
            del self._growing[name]
        self._known = {name: state for name, state in self._known.items() if name in there}
        self._ready.extend(self._folder / name for _, name in sorted(whole))

    def _look(self) -> dict[str, _State] | None:
        """The state of every image; None while the folder cannot be listed, as on a share that is away."""
        states: dict[str, _State] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if not has_image_name(Path(entry.name)):
                        continue
                    try:
                        status = entry.stat()
                    except OSError:
                        continue  # renamed or removed since
                    if entry.is_file():
                        states[entry.name] = (status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError:
            return None
        return states
