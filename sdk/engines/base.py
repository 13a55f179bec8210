"""What every engine has in common: it takes resources only while it runs, and refuses what its graph does not take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgead.errors import EngineError, FrameError

E = TypeVar("E", bound="Engine")


class Engine(ABC):
    """A compiled detector graph. The constructor stores what it needs; `with` loads it, and frees it at the end.

    One thread at a time may call `infer`; it need not be the thread that entered. A backend writes `_activate`,
    `_deactivate` and `_infer`, and sets `size` in `_activate` where its runtime knows it.
    """

    name: str
    """The target as the command line calls it."""

    size: tuple[int, int] | None = None
    """(height, width) that the graph takes; None while that is not known, and then not checked here."""

    digest: str = ""
    """SHA-256 of the serialised engine, in hexadecimal digits; empty where it is not known."""

    def __init__(self, *, max_batch: int) -> None:
        if max_batch < 1:
            raise EngineError(f"a largest batch of {max_batch} images", type(self).__name__, "it has to be at least 1")
        self.max_batch = max_batch
        self._running = False

    @abstractmethod
    def _activate(self) -> None:
        """Take the resources. Raises EngineError; what was taken until then is freed by `_deactivate`."""

    @abstractmethod
    def _deactivate(self) -> None:
        """Free whatever was taken; also called after an `_activate` that failed half-way."""

    @abstractmethod
    def _infer(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run the graph on a checked, C-contiguous batch; the arrays returned are the caller's to keep."""

    def infer(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """uint8 [N, H, W, 3], RGB, N from 1 to `max_batch` -> every output of the graph by name: `score` float32 [N],
        `anomaly_map` float32 [N, H, W], in the graph's raw units.

        Raises FrameError for any other array, EngineError outside a `with` block or where the runtime fails.
        """
        if not self._running:
            raise EngineError("the engine is not running", self.name, "use it inside a `with` block")
        self._check(image)
        return self._infer(np.ascontiguousarray(image))

    def _check(self, image: NDArray[np.uint8]) -> None:
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = getattr(image, "dtype", type(image).__name__)
            raise FrameError(f"the batch is {kind}, not uint8", self.name, "give 8-bit RGB images")
        if image.ndim != 4 or image.shape[3] != 3 or image.size == 0:
            raise FrameError(f"the batch has shape {image.shape}", self.name, "give [N, H, W, 3]")
        if self.size is not None and image.shape[1:3] != self.size:
            found, wanted = f"{image.shape[1]} x {image.shape[2]}", f"{self.size[0]} x {self.size[1]}"
            raise FrameError(f"the images are {found} pixels high and wide", self.name, f"resize them to {wanted}")
        if len(image) > self.max_batch:
            raise FrameError(f"{len(image)} images in a batch", self.name, f"give at most {self.max_batch}")

    def __enter__(self: E) -> E:
        if self._running:
            raise EngineError("the engine is running already", self.name, "enter it once")
        try:
            self._activate()
        except BaseException:
            self._deactivate()
            raise
        self._running = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the engine; doing so twice is harmless."""
        if self._running:
            self._running = False
            self._deactivate()
