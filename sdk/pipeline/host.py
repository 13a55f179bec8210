"""The pipeline on the host: the CPU resizes, any engine infers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgead.engines.base import Engine
from edgead.frame import Image
from edgead.kernels import resize
from edgead.pipeline.base import Answer


class HostPipeline:
    """Around a running engine whose graph takes height x width pixels. threshold: nothing here depends on it, as the
    whole map is brought back."""

    def __init__(self, engine: Engine, height: int, width: int, threshold: float) -> None:
        self._engine, self._height, self._width = engine, height, width
        self.threshold = threshold

    def prepare(self, image: Image) -> Image:
        """The frame as the graph's input: uint8 [1, height, width, 3], RGB."""
        return resize(image, self._height, self._width, swap_channels=True)[None]

    def infer(self, prepared: Image) -> Answer:
        return self.infer_some([prepared])[0]

    def infer_some(self, prepared: Sequence[Image]) -> list[Answer]:
        """In one call of the engine."""
        outputs = self._engine.infer(prepared[0] if len(prepared) == 1 else np.concatenate(prepared))
        maps = np.ascontiguousarray(outputs["anomaly_map"], np.float32)
        return [
            Answer(float(score), bool(np.isfinite(found).all()), found)
            for score, found in zip(outputs["score"], maps, strict=True)
        ]

    def close(self) -> None:
        """Nothing is kept here."""
