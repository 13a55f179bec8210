"""Memory for the frames that are under way on a GPU, made once and used again and again."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgead import gpu
from edgead.engines.stage import Stage
from edgead.errors import EngineError
from edgead.frame import Image
from edgead.kernels.frame import FrameStruct, frame_struct
from edgead.kernels.postprocess import REGION
from edgead.kernels.preprocess import device_tables_bytes

SLOTS = 6  # to begin with: the frames that wait in a stream, the one that is inferred and the one being prepared
MOST_SLOTS = 64  # of several cameras, or of a caller who prepares far ahead; more were a leak
REGIONS = 256  # that are brought back; of a frame with more, the map is, and the host finds them

REPORT = np.dtype([("score", np.float32), ("finite", np.int32), ("count", np.int32), ("regions", REGION, (REGIONS,))])
"""What a frame's verdict is made of, brought back in one copy. The score comes first, as a stage writes at multiples of
256 bytes."""


@dataclass
class Slot:
    """Room for one frame, from its pixels to what is said of it.

    frame, anomaly_map, picture: of the frame's pixels, the map and the overlay (where wanted) on host and device.
    report: the bytes of a `REPORT`. addresses: what the stage reads and writes. struct: the frame for the kernels.
    ready: where its input is there. graph: what is done to it after that, once that was captured with `threshold`.
    """

    frame: gpu.Buffer
    anomaly_map: gpu.Buffer
    picture: gpu.Buffer | None
    report: gpu.Buffer
    addresses: dict[str, int]
    struct: FrameStruct
    ready: gpu.Event
    graph: gpu.Graph | None = None
    threshold: float = math.nan

    def forget_graph(self) -> None:
        """Free what was captured."""
        if self.graph is not None:
            self.graph.close()
            self.graph = None


class Ticket:
    """The right to use a slot. It ends with `release`, or when nobody holds the ticket any more: a frame that gives way
    to a newer one leaves its slot to it."""

    def __init__(self, slot: Slot, give_back: Callable[[Slot], None]) -> None:
        self.slot = slot
        self._finalizer = weakref.finalize(self, give_back, slot)
        self._finalizer.atexit = False

    @property
    def valid(self) -> bool:
        return self._finalizer.alive

    def release(self) -> None:
        self._finalizer()


class Slots:
    """The slots for frames of one shape, and the kernels' tables for it. Made and freed inside `gpu.current`.

    shape: [h, w, 3] for BGR, [h, w] or [h, w, 1] for gray. overlay: whether there is room for one. mapped: whether the
    device reads frames, and writes overlays, in the host's memory.
    """

    def __init__(self, shape: tuple[int, ...], stage: Stage, *, overlay: bool, mapped: bool) -> None:
        assert stage.size is not None  # it is running
        self.shape, self._size = shape, stage.size
        self._stage, self._overlay, self._mapped = stage, overlay, mapped
        self._owned: list[gpu.Memory | gpu.Buffer | gpu.Event] = []
        self._all: list[Slot] = []
        try:
            self.tables = self._memory(device_tables_bytes(shape[0], shape[1], *stage.size))
            self._all += [self._slot() for _ in range(SLOTS)]
        except BaseException:
            self.free()
            raise
        self._free = deque(self._all)

    def take(self) -> Ticket:
        """A slot for a frame: the one used last, which is the warmest, or a new one where all are taken. Raises
        EngineError where those are MOST_SLOTS."""
        try:
            slot = self._free.pop()
        except IndexError:
            slot = self._another()
        return Ticket(slot, self._free.append)

    def _another(self) -> Slot:
        if len(self._all) >= MOST_SLOTS:
            what = f"{MOST_SLOTS} frames are prepared and not inferred"
            raise EngineError(what, "pipeline", "infer them, or let them go")
        slot = self._slot()
        self._all.append(slot)
        return slot

    @property
    def idle(self) -> bool:
        """Whether no frame is under way."""
        return len(self._free) == len(self._all)

    def free(self) -> None:
        """Give everything back. Nothing may be queued any more."""
        for slot in self._all:
            slot.forget_graph()
        while self._owned:
            owned = self._owned.pop()
            owned.close() if isinstance(owned, gpu.Event) else owned.free()

    def _slot(self) -> Slot:
        height, width = self.shape[:2]
        channels = 3 if self.shape[2:] == (3,) else 1
        frame = self._buffer((height * width * channels,), mapped=self._mapped)
        picture = self._buffer((height, width, 3), mapped=self._mapped) if self._overlay else None
        report = self._buffer((REPORT.itemsize,))
        outputs = dict(self._stage.outputs)
        anomaly_map = self._buffer(outputs.pop("anomaly_map"), np.float32)
        del outputs["score"]
        addresses = {"anomaly_map": anomaly_map.address, "score": report.address}
        addresses["image"] = self._memory(math.prod(self._size) * 3).address
        for name, shape in outputs.items():
            addresses[name] = self._memory(math.prod(shape) * 4).address
        layout = "bgr" if channels == 3 else "gray"
        struct = frame_struct(layout, height, width, frame.address, width * channels)
        ready = gpu.Event()
        self._owned.append(ready)
        return Slot(frame, anomaly_map, picture, report, addresses, struct, ready)

    def _memory(self, size: int) -> gpu.Memory:
        memory = gpu.Memory(size)
        self._owned.append(memory)
        return memory

    def _buffer(
        self, shape: tuple[int, ...], dtype: type[np.generic] = np.uint8, *, mapped: bool = False
    ) -> gpu.Buffer:
        buffer = gpu.Buffer(shape, dtype, mapped=mapped)
        self._owned.append(buffer)
        return buffer


def copy_in(image: Image, slot: Slot) -> None:
    """The frame's pixels into the slot's half of the host."""
    np.copyto(slot.frame.host.reshape(image.shape), image)
