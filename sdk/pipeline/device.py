"""The pipeline on a GPU: a frame goes up, its score and regions come back, and nothing in between leaves the device.

Two streams. One copies a frame up and makes the graph's input of it, while the other infers the frame before, finds its
regions and draws its overlay. An event of each frame joins them. What follows the event is the same for every frame in
a slot, so that it is captured once and then launched as one CUDA graph, where the engine allows it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import numpy as np

from edgead import gpu
from edgead.engines.stage import Stage
from edgead.errors import EngineError
from edgead.frame import Image
from edgead.kernels.finite import finite_on_device
from edgead.kernels.postprocess import find_regions_bytes, find_regions_on_device, overlay_on_device
from edgead.kernels.preprocess import fill_device_tables, preprocess_on_device
from edgead.pipeline.base import Answer
from edgead.pipeline.slots import REGIONS, REPORT, Slot, Slots, Ticket, copy_in
from edgead.regions import Spot, find_spots

log = logging.getLogger(__name__)

_NO_MAP = np.empty((0, 0), np.float32)


MOST_SHAPES = 4  # of frames, for which memory is kept: cameras of several sizes, judged in turns


class DevicePipeline:
    """Around a running stage. Memory is made at the first frame of a size, and again only where the size changes.

    threshold: of the anomaly map's pixels; also what the overlay outlines and shows half hot. maps, overlay: whether
    they are brought back. Raises EngineError where the GPU fails.
    """

    def __init__(self, stage: Stage, threshold: float, *, maps: bool = False, overlay: bool = False) -> None:
        if stage.size is None or not {"anomaly_map", "score"} <= stage.outputs.keys():
            raise EngineError("the stage is no running detector graph", stage.name, "give one that is running")
        self._stage, self._size, self.threshold = stage, stage.size, threshold
        self._maps, self._overlay = maps, overlay
        self._mapped = gpu.describe().integrated
        self._preparing, self._inferring = threading.Lock(), threading.Lock()
        self._slots: dict[tuple[int, ...], Slots] = {}  # by the frames' shape, the one used last at the end
        self._capturing = stage.capturable
        self._warm = self._closed = False
        with gpu.current():
            self._copies, self._work = gpu.Stream(), gpu.Stream()
            self._workspace = gpu.Memory(find_regions_bytes(*self._size))

    def prepare(self, image: Image) -> Ticket:
        """Copy a frame to page-locked memory and queue its way to the graph's input."""
        with self._preparing, gpu.current():
            self._check_open()
            slots = self._slots_for(image)
            ticket = slots.take()
            try:
                self._queue_input(image, ticket.slot, slots)
            except BaseException:
                ticket.release()
                raise
            return ticket

    def infer(self, prepared: Ticket) -> Answer:
        """Queue everything else that is done to a frame, and wait for it."""
        with self._inferring, gpu.current():
            self._check_open()
            if not prepared.valid:
                raise EngineError("the frame was inferred before", "pipeline", "prepare it again")
            slot, threshold = prepared.slot, self.threshold  # for all of this frame
            try:
                try:
                    self._work.wait(slot.ready)
                    self._queue_answer(slot, threshold)
                finally:  # also what was queued before an error has to be done with the slot
                    self._work.synchronize()
                return self._answer(slot, threshold)
            finally:
                prepared.release()

    def infer_some(self, prepared: Sequence[Ticket]) -> list[Answer]:
        """One after the other: the steps around the engine are queued for single frames."""
        return [self.infer(ticket) for ticket in prepared]

    def close(self) -> None:
        """Wait for what is queued and free everything. Frames that were prepared cannot be inferred any more."""
        with self._preparing, self._inferring:
            if self._closed:
                return
            self._closed = True
            with gpu.current():
                try:
                    self._copies.synchronize()
                    self._work.synchronize()
                finally:
                    for slots in self._slots.values():
                        slots.free()
                    self._slots.clear()
                    self._workspace.free()
                    self._copies.close()
                    self._work.close()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the pipeline is closed", "pipeline", "load the detector again")

    def _slots_for(self, image: Image) -> Slots:
        if image.shape in self._slots:
            self._slots[image.shape] = slots = self._slots.pop(image.shape)  # the last one now
            return slots
        if len(self._slots) >= MOST_SHAPES:
            self._free_idle()
        if self._slots:
            log.info("frames of %s as well: new memory on the GPU", image.shape)
        self._slots[image.shape] = slots = self._made(image.shape)
        return slots

    def _made(self, shape: tuple[int, ...]) -> Slots:
        slots = Slots(shape, self._stage, overlay=self._overlay, mapped=self._mapped)
        try:
            tables, (height, width) = slots.tables.address, shape[:2]
            fill_device_tables(tables, height, width, *self._size, stream=self._copies.handle)
        except BaseException:
            slots.free()
            raise
        return slots

    def _free_idle(self) -> None:
        """Free what frames of other shapes have left behind, those used longest ago, down to one less than may stay."""
        idle = [shape for shape, slots in self._slots.items() if slots.idle]
        idle = idle[: len(self._slots) - MOST_SHAPES + 1]
        if idle:
            self._copies.synchronize()  # a frame that nobody inferred may still be on its way up
        for shape in idle:
            self._slots.pop(shape).free()

    def _queue_input(self, image: Image, slot: Slot, slots: Slots) -> None:
        slot.ready.synchronize()  # where nobody inferred the slot's last frame, it may still be on its way up
        copy_in(image, slot)
        self._copies.upload(slot.frame)
        target, stream = slot.addresses["image"], self._copies.handle
        preprocess_on_device(slot.struct, None, slots.tables.address, target, *self._size, stream=stream)
        self._copies.record(slot.ready)

    def _queue_answer(self, slot: Slot, threshold: float) -> None:
        """As one graph, once the stage has run: it may prepare something in its first run."""
        if slot.threshold != threshold:  # a graph's numbers are those of its capture
            slot.forget_graph()
        if slot.graph is None and self._capturing and self._warm:
            try:
                slot.graph = gpu.capture(self._work, lambda: self._queue_steps(slot, threshold))
                slot.threshold = threshold
            except EngineError as error:
                log.warning("frames are inferred without a CUDA graph: %s", error)
                self._capturing = False
        if slot.graph is not None:
            slot.graph.launch(self._work)
        else:
            self._queue_steps(slot, threshold)
            self._warm = True

    def _queue_steps(self, slot: Slot, threshold: float) -> None:
        """Everything that is done to a frame after its input is there, one step after the other."""
        stream, (height, width) = self._work.handle, self._size
        field = {name: slot.report.address + place[1] for name, place in (REPORT.fields or {}).items()}
        where = slot.anomaly_map.address
        self._stage.enqueue(slot.addresses, 1, stream)
        finite_on_device(where, height * width, field["finite"], stream=stream)
        find_regions_on_device(
            where, height, width, threshold, field["regions"], REGIONS, field["count"], self._workspace.address,
            stream=stream,
        )  # fmt: skip
        self._work.download(slot.report)
        if slot.picture is not None:
            overlay_on_device(
                slot.struct, where, height, width, *_scale(threshold), slot.picture.address,
                threshold=threshold, bgr=True, stream=stream,
            )  # fmt: skip
            self._work.download(slot.picture)
        if self._maps:
            self._work.download(slot.anomaly_map)

    def _answer(self, slot: Slot, threshold: float) -> Answer:
        """What has come back; nothing is queued any more."""
        report = slot.report.host.view(REPORT)[0]
        shown = slot.anomaly_map.host.reshape(self._size)
        if report["count"] <= REGIONS:
            spots = tuple(Spot(*region.item()) for region in report["regions"][: report["count"]])
        else:
            self._work.download(slot.anomaly_map)
            self._work.synchronize()
            spots = find_spots(shown, threshold)
        drawn = slot.picture
        return Answer(
            score=float(report["score"]),
            finite=bool(report["finite"]),
            anomaly_map=shown.copy() if self._maps else _NO_MAP,
            spots=spots,
            overlay=drawn.host.reshape(slot.struct.height, slot.struct.width, 3).copy() if drawn is not None else None,
        )


def _scale(threshold: float) -> tuple[float, float]:
    """What an overlay shows as nothing and as the hottest."""
    half = max(abs(threshold), float(np.finfo(np.float32).tiny))
    return threshold - half, threshold + half
