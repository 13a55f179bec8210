"""Several processes that share an experiment: who does which cells, and how the first waits for the others.

They are started by torchrun, on one machine or several, and share the output folder and nothing else. Each of them
trains alone, so what torchrun says of ranks is taken out of the environment before Lightning can read it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from edgead.errors import EdgeadError, TrainingError

_RANKS = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"),
    *("ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT"),
)
_GPUS = "CUDA_VISIBLE_DEVICES"
BEAT_S = 20.0
"""How often a process says that it is there."""
LOST_S = 600.0
"""How long none may say so before it counts as lost: file systems of several machines tell with a delay."""


class Grouped(Protocol):
    """What is shared out."""

    @property
    def group(self) -> str: ...


One = TypeVar("One", bound=Grouped)


@dataclass(frozen=True)
class Processes:
    """rank: which of `size` processes this is, from 0. local: which of the `local_size` on its machine."""

    rank: int = 0
    size: int = 1
    local: int = 0
    local_size: int = 1

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> Processes:
        """What torchrun says, removed from the environment; one process alone where it says nothing. Raises
        TrainingError for numbers that cannot be."""
        try:
            found = cls(*(int(environment.get(name, default)) for name, default in _DEFAULTS))
        except ValueError as error:
            raise TrainingError(f"the ranks are no numbers ({error})", "environment", "start with torchrun") from error
        if not 0 <= found.rank < found.size:
            raise TrainingError(f"process {found.rank} of {found.size}", "environment", "start with torchrun")
        for name in list(environment):
            if name in _RANKS or name.startswith(("TORCHELASTIC_", "PET_")):
                del environment[name]
        return found

    @property
    def first(self) -> bool:
        """Whether this is the one that tells the results."""
        return self.rank == 0

    @property
    def threads(self) -> int:
        """Its share of the machine's cores; 0, for all of them, where it has the machine alone."""
        return 0 if self.local_size <= 1 else max(1, (os.cpu_count() or 1) // self.local_size)

    def take_gpu(self, environment: MutableMapping[str, str], count: Callable[[], int]) -> None:
        """Leave the process one GPU to see, its own, where there are any. count: how many it could see; asked only
        where several processes share a machine."""
        if self.size == 1 or not (gpus := count()):
            return
        visible = environment.get(_GPUS, "").split(",") if environment.get(_GPUS) else [str(n) for n in range(gpus)]
        environment[_GPUS] = visible[self.local % len(visible)]

    def share(self, cells: Sequence[One]) -> list[One]:
        """This process's: every size-th group of cells."""
        groups = {name: place for place, name in enumerate(dict.fromkeys(cell.group for cell in cells))}
        return [cell for cell in cells if groups[cell.group] % self.size == self.rank]


ALONE = Processes()
_DEFAULTS = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def beating(processes: Processes, folder: Path) -> Iterator[None]:
    """Say every few seconds, in a file, that this process is there; alone, it says nothing."""
    if processes.size == 1:
        yield
        return
    path, ended = _beat(folder, processes.rank), threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            path.touch()

    folder.mkdir(parents=True, exist_ok=True)
    path.touch()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.unlink(missing_ok=True)


def wait_for_others(
    folder: Path,
    others: Sequence[Processes],
    missing: Callable[[Processes], Sequence[str]],
    tell: Callable[[str], None],
    *,
    lost_s: float = LOST_S,
    pause_s: float = 2.0,
) -> None:
    """Wait until the others have done their cells. missing: the names of those that one has not done. tell: takes a
    line for whoever watches. Raises TrainingError where one has not been heard of for too long.

    Nothing is asked of a process that may be dead: its beat is a file that changes, and its results are files.
    """
    for other in others:
        left = missing(other)
        if left:
            tell(f"waiting for process {other.rank}: {len(left)} cells to do")
        seen, since = _mtime(_beat(folder, other.rank)), time.monotonic()
        while left := missing(other):
            now = _mtime(_beat(folder, other.rank))
            if now is not None and now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() - since > lost_s:
                what = f"process {other.rank} has not been heard of for {lost_s:.0f} s, and {left[0]} is not done"
                raise TrainingError(what, folder, "run the same command again to go on: cells that are done stay")
            time.sleep(pause_s)


def _beat(folder: Path, rank: int) -> Path:
    return folder / f".process-{rank}"


def _mtime(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def failed(processes: Processes, error: EdgeadError) -> EdgeadError:
    """The error, with the process that it came from where there are several."""
    if processes.size == 1:
        return error
    return type(error)(f"process {processes.rank}: {error.what}", error.where, error.todo)
