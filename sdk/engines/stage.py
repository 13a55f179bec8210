"""An engine whose inputs and outputs stay on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class Stage(Protocol):
    """A detector graph between two device pointers, as the pipeline on the GPU takes it. What is said here of a running
    engine is known inside its `with` block."""

    @property
    def name(self) -> str:
        """The engine's name."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the graph's input; known while the engine runs."""

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of every output for one image; known while the engine runs. All are float32."""

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph can hold `enqueue`, once it has run."""

    def enqueue(self, addresses: Mapping[str, int], batch: int, stream: int) -> None:
        """Queue the graph on a CUDA stream, on memory that is on the device already.

        addresses: of `image`, uint8 [batch, H, W, 3], and of every output, float32 [batch, ...], each large enough, at
        a multiple of 256 and in the device's primary context. stream: a CUstream as a number. Returns before the
        outputs are there. Raises EngineError.
        """
