"""What a pipeline is, and what it says of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgead.frame import Image
from edgead.regions import Spot


@dataclass(frozen=True)
class Answer:
    """What the graph says of one frame, in raw units.

    finite: whether the whole map is finite. anomaly_map: float32 [H, W], or [0, 0] where it stayed on the GPU. spots:
    the map's regions; None where nobody has looked for them yet. overlay: see `Result`.
    """

    score: float
    finite: bool
    anomaly_map: NDArray[np.float32]
    spots: tuple[Spot, ...] | None = None
    overlay: Image | None = None


class Pipeline(Protocol):
    """`prepare` runs in other threads than `infer`, in several at once and at the same time; `infer` in one at a time.

    threshold: of the anomaly map's pixels. Another one may be assigned in any thread, and holds from the next `infer`
    on.
    """

    threshold: float

    def prepare(self, image: Image) -> Any:
        """A frame, uint8 [h, w, 3] BGR, [h, w] or [h, w, 1] gray -> what `infer` takes."""

    def infer(self, prepared: Any) -> Answer:
        """What `prepare` gave, once -> the graph's answer."""

    def infer_some(self, prepared: Sequence[Any]) -> list[Answer]:
        """Likewise of several frames, where the engine takes as many in one call; answers in their order."""

    def close(self) -> None:
        """Free everything; doing so twice is harmless."""
