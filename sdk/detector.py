"""A bundle and a running engine: frames in, results out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.engines.base import Engine
from edgead.errors import FrameError
from edgead.frame import Frame, Image
from edgead.kernels import resize
from edgead.regions import find_regions
from edgead.result import Result, Verdict

Outputs = Mapping[str, NDArray[np.float32]]


class Detector:
    """Judges frames with one engine and the thresholds of its precision.

    It owns the engine, which runs until `close` or the end of a `with` block. Calls are not thread safe, but `prepare`
    and `judge` may run in other threads than `infer`.
    """

    def __init__(self, bundle: Bundle, engine: Engine, precision: str) -> None:
        variant = bundle.manifest.variant(precision)
        self.bundle, self.precision = bundle, precision
        self.thresholds, self.score_range = variant.thresholds, variant.score_range
        self.height, self.width = bundle.manifest.height, bundle.manifest.width
        self.max_batch = bundle.manifest.max_batch
        self.digest = bundle.digest
        self.engine = engine
        engine.__enter__()

    def close(self) -> None:
        """Free the engine."""
        self.engine.__exit__(None, None, None)

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, image: Image) -> Result:
        """Judge one image: uint8 [h, w, 3] in BGR order as OpenCV gives it, or [h, w] gray, of any size.

        Raises FrameError for anything else.
        """
        begin = time.perf_counter()
        prepared = self.prepare(image)
        ready = time.perf_counter()
        outputs = self.infer(prepared[None])
        done = time.perf_counter()
        frame = Frame(image, 0, "image", time.time())
        timing = {"prepare": (ready - begin) * 1e3, "infer": (done - ready) * 1e3}
        return self.judge(outputs, 0, frame, timing)

    def prepare(self, image: Image) -> Image:
        """Resize a frame (BGR or gray, any size) to the graph's input: uint8 [height, width, 3], RGB."""
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = getattr(image, "dtype", type(image).__name__)
            raise FrameError(f"the frame is {kind}, not uint8", "detector", "give 8-bit frames as OpenCV does")
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or image.size == 0:
            raise FrameError(
                f"the frame has shape {image.shape}", "detector", "give [h, w, 3] in BGR order or [h, w] gray"
            )
        return resize(image, self.height, self.width, swap_channels=True)

    def infer(self, batch: Image) -> dict[str, NDArray[np.float32]]:
        """uint8 [N, height, width, 3], RGB -> `score` float32 [N], `anomaly_map` float32 [N, height, width], in raw
        units."""
        return self.engine.infer(batch)

    def judge(self, outputs: Outputs, index: int, frame: Frame, timing: dict[str, float]) -> Result:
        """Turn the outputs for one frame into a result.

        Raises FrameError where the score is not a finite number: such a frame is never accepted as good.
        """
        score = float(outputs["score"][index])
        anomaly_map = np.ascontiguousarray(outputs["anomaly_map"][index], np.float32)
        if not np.isfinite(score) or not np.isfinite(anomaly_map).all():
            raise FrameError(
                "the engine gave a score that is not a number", f"frame {frame.frame_id}", "verify the engine"
            )
        mask = anomaly_map >= self.thresholds.pixel.value
        return Result(
            pred_score=self._normalise(score),
            pred_label=score >= self.thresholds.image.value,
            anomaly_map=anomaly_map,
            pred_mask=mask,
            raw_score=score,
            verdict=self._verdict(score),
            regions=find_regions(anomaly_map, mask, frame.image.shape[0], frame.image.shape[1]),
            frame_id=frame.frame_id,
            source=frame.source,
            captured_at=frame.captured_at,
            timing=timing,
            bundle=self.digest,
        )

    def _verdict(self, score: float) -> Verdict:
        if score >= self.thresholds.image.value:
            return Verdict.REJECT
        return Verdict.WARN if score >= self.thresholds.warn.value else Verdict.ACCEPT

    def _normalise(self, score: float) -> float:
        low, high = self.score_range
        scaled = 0.5 + (score - self.thresholds.image.value) / (high - low)
        return min(max(scaled, 0.0), 1.0)
