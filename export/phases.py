"""A builder's nested phases as one percentage that never falls, and the way to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from edgead.errors import EngineError
from edgead.progress import Progress

WHAT = "building the plan"


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """Hears of phases and their steps from any thread, tells the progress, and answers whether to go on.

    A library calls it from C++, which no exception may cross: what `progress` or `cancelled` raises is kept, ends the
    build, and comes out of `check`.
    """

    def __init__(self, progress: Progress, cancelled: Callable[[], bool]) -> None:
        self._progress, self._cancelled = progress, cancelled
        self._active: dict[str, _Phase] = {}
        self._percent = -1
        self._lock = threading.Lock()
        self._stopped = False
        self._fault: BaseException | None = None

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of `steps` steps begins, as one step of its parent."""
        with self._lock:
            self._active[name] = _Phase(parent, max(steps, 1))

    def step(self, name: str, step: int) -> bool:
        """A step, counted from 0, is done. False: stop."""
        with self._lock:
            try:
                if name in self._active:
                    self._active[name].done = step + 1
                self._tell(min(self._share(None), 0.99))
                self._stopped = self._stopped or self._cancelled()
            except BaseException as fault:  # noqa: BLE001  see the class
                self._fault = self._fault or fault
            return not self._stopped and self._fault is None

    def end(self, name: str) -> None:
        with self._lock:
            self._active.pop(name, None)

    def stop(self) -> None:
        """Answer False from here on."""
        self._stopped = True

    def check(self, where: str) -> None:
        """Raise what ended the build early, if anything did."""
        if self._fault is not None:
            raise self._fault
        if self._stopped:
            raise EngineError("the build was cancelled", where, "start it again")

    def finish(self) -> None:
        """The build is done: 100 percent."""
        with self._lock:
            self._tell(1.0)

    def _share(self, parent: str | None) -> float:
        """How much of the phases under `parent` is done: 0 to 1, of the one that is furthest."""
        shares = [
            (phase.done + self._share(name)) / phase.steps
            for name, phase in self._active.items()
            if phase.parent == parent and name != parent
        ]
        return min(max(shares, default=0.0), 1.0)

    def _tell(self, share: float) -> None:
        percent = int(share * 100)
        if percent > self._percent:
            self._percent = percent
            self._progress(WHAT, percent, 100)
