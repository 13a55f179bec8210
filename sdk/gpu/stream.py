"""Work for the device, in the order in which it was queued, and how two such queues wait for each other."""

from __future__ import annotations

from typing import Any

from edgead.gpu.driver import driver
from edgead.gpu.memory import Buffer

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: it does not wait for what others, such as torch, do on the default stream


class Event:
    """A point in a stream that another can wait for; before it is recorded there is nothing to wait for."""

    def __init__(self) -> None:
        cuda = driver()
        self.event: Any = cuda.Event(cuda.event_flags.DISABLE_TIMING)

    def synchronize(self) -> None:
        """Wait for where it was recorded last."""
        self.event.synchronize()

    def close(self) -> None:
        self.event = None


class Stream:
    """A queue of work. Every call but `synchronize` returns before the work is done."""

    def __init__(self) -> None:
        self._stream: Any = driver().Stream(_NON_BLOCKING)

    @property
    def handle(self) -> int:
        """The CUstream as a number."""
        return int(self._stream.handle)

    def upload(self, buffer: Buffer, count: int | None = None) -> None:
        """Copy the first `count` elements of `host`, or all, to the device."""
        if not buffer.mapped:
            driver().memcpy_htod_async(buffer.address, buffer.host[:count], self._stream)

    def download(self, buffer: Buffer, count: int | None = None) -> None:
        """Copy the first `count` elements, or all, from the device to `host`."""
        if not buffer.mapped:
            driver().memcpy_dtoh_async(buffer.host[:count], buffer.address, self._stream)

    def record(self, event: Event) -> None:
        """Let `event` be the point that has been queued so far."""
        event.event.record(self._stream)

    def wait(self, event: Event) -> None:
        """What is queued from here on waits for where `event` was recorded last."""
        self._stream.wait_for_event(event.event)

    def synchronize(self) -> None:
        """Wait for everything that was queued."""
        self._stream.synchronize()

    def close(self) -> None:
        self._stream = None
