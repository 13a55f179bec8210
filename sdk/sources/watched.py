"""A folder that is watched as a source: `watch:///data/line1` gives every new image once it is whole."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from edgead.errors import DataError, SourceError
from edgead.frame import Reading, Signal
from edgead.sources.folder import ImageSource, has_image_name

POLL_SECONDS = 0.05
RESTS = 2  # times as long as looking took, before it is done again: many images take a third of a core, and no more
QUIET_SECONDS = 0.2  # a file that has not grown for so long is read; one that is renamed into place is whole
PATIENCE_SECONDS = 2.0  # one that cannot be read then is read again when it has not grown for so long

_State = tuple[int, int, int, int]  # inode, that of what a link leads to, size, mtime in nanoseconds


@dataclass
class _New:
    """A file that nobody has judged. since: when its state was first seen. tried: whether it could not be read then."""

    state: _State
    since: float
    tried: bool = False


class WatchedFolder(ImageSource):
    """Images that arrive in a folder, in the order of their arrival, each once, without end.

    Those that are there at the start are not judged. A new file is taken when its size and time have stood still for
    QUIET_SECONDS, so that it may be written slowly and in place. One that cannot be read then may be written more
    slowly still: it is a LostFrame with its path once it has stood still for PATIENCE_SECONDS. A file written again
    under its name is a new image, one that only gets another name is not. Looking at the folder again and again, and
    not inotify, also sees what other computers write to a network share.

    Images wait in their folder: nothing is dropped, unless `latest` is asked for and one that was read waits for the
    engine when the next one comes.
    """

    def __init__(self, spec: str) -> None:
        super().__init__(spec)
        self._folder = Path(spec.partition("://")[2])
        self._known: set[_State] | None = None
        self._growing: dict[str, _New] = {}
        self._ready: deque[tuple[str, _New]] = deque()
        self._look_at = 0.0

    def open(self) -> None:
        """Note what is there already. Raises SourceError where there is no such folder."""
        if not self._folder.is_dir():
            raise SourceError("there is no such folder to watch", self.name, "write watch:// and the folder's path")
        self._growing, self._ready = {}, deque()
        self._known = set((self._look() or {}).values())

    def read(self, timeout: float) -> Reading:
        """The next new image, or TIMEOUT when none was complete within `timeout` seconds."""
        until = time.monotonic() + timeout
        while True:
            while self._ready:
                name, new = self._ready.popleft()
                if (reading := self._judgeable(name, new)) is not None:
                    return reading
            self._notice()
            left = until - time.monotonic()
            if not self._ready and left <= 0:
                return Signal.TIMEOUT
            if not self._ready:
                time.sleep(min(POLL_SECONDS, left))

    def close(self) -> None:
        """Forget the folder."""
        self._known = None

    def _judgeable(self, name: str, new: _New) -> Reading | None:
        """The image of a file, or the news that it is lost; None for one that may still be written."""
        try:
            return self._image(self._folder / name)
        except DataError as error:
            if not (self._folder / name).exists():
                now = next((other for other, state in (self._look() or {}).items() if state == new.state), None)
                if now is not None:  # it has got another name meanwhile
                    return self._read(self._folder / now)
            elif not new.tried:
                new.tried = True
                self._growing[name] = new
                if self._known is not None:
                    self._known.discard(new.state)
                return None
            return self._lost(error.what, source=str(self._folder / name))

    def _notice(self) -> None:
        """Put the files that have become whole in line, the one that was written first in front."""
        if self._known is None:
            raise self._not_open()
        now = time.monotonic()
        if now < self._look_at:
            return
        there = self._look()
        self._look_at = time.monotonic() + RESTS * (time.monotonic() - now)
        if not there:  # a share that is away may look like an empty folder: what was judged is still known then
            return
        growing, self._growing = self._growing, {}
        whole: list[tuple[int, str, _New]] = []
        for name, state in there.items():
            if state in self._known:
                continue
            new = growing.get(name)
            if new is None or new.state != state:
                self._growing[name] = _New(state, now)
            elif now - new.since >= (PATIENCE_SECONDS if new.tried else QUIET_SECONDS):
                whole.append((state[-1], name, new))
            else:
                self._growing[name] = new
        self._known.intersection_update(there.values())
        for _, name, new in sorted(whole, key=lambda each: each[:2]):
            self._known.add(new.state)
            self._ready.append((name, new))

    def _look(self) -> dict[str, _State] | None:
        """The state of every image; None while the folder cannot be listed, as on a share that is away."""
        states: dict[str, _State] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if not has_image_name(entry.name):
                        continue
                    try:
                        status = entry.stat()
                    except OSError:
                        continue  # renamed or removed since, or a link that leads nowhere
                    if stat.S_ISREG(status.st_mode):
                        states[entry.name] = (entry.inode(), status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError:
            return None
        return states
