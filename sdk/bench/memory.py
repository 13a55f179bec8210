"""How much memory an engine takes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
from dataclasses import dataclass
from pathlib import Path

from edgead import gpu
from edgead.gpu.driver import driver


@dataclass(frozen=True)
class Memory:
    """Bytes. resident: pages of the process that are in the machine's memory. device: what is taken of the GPU's, by
    whatever process; None where no GPU is looked at.

    The difference of two says what was taken in between. For a detector that was loaded and run: the engine with its
    buffers for every batch that was run, and the bundle, of which the graphs of all precisions are kept. It is not a
    peak, and not all that a process with that engine alone takes: Python and the runtime's libraries were there before.
    On a device whose memory is the host's, both count the same pages, and `device` what others did meanwhile.
    """

    resident: int
    device: int | None = None

    def __sub__(self, before: Memory) -> Memory:
        device = self.device - before.device if self.device is not None and before.device is not None else None
        return Memory(self.resident - before.resident, device)


def memory(target: str, *, root: Path = Path("/")) -> Memory:
    """What is taken now, on a GPU as well where `target` runs there. root: where `proc` is."""
    _give_back()
    pages = int((root / "proc/self/statm").read_text().split()[1])
    return Memory(pages * resource.getpagesize(), None if target == "openvino" else _on_device())


def _on_device() -> int:
    with gpu.current():
        free, total = driver().mem_get_info()
    return int(total) - int(free)


def _give_back() -> None:
    """What is free, to the system: what came next would fill it up again without being seen."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # a C library that is not glibc
        ctypes.CDLL(None).malloc_trim(0)
