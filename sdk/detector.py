"""A bundle and a running engine: frames in, results out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from edgead.bands import Bands
from edgead.bundle import Bundle
from edgead.engines.base import Engine
from edgead.errors import FrameError
from edgead.evaluation.thresholds import Thresholds
from edgead.frame import Frame, Image
from edgead.pipeline import open_pipeline
from edgead.pipeline.base import Answer
from edgead.regions import find_spots, in_frame
from edgead.result import Result, Verdict


class Detector:
    """Judges frames with one engine and the thresholds of its precision.

    It owns the engine, which runs until `close` or the end of a `with` block. `prepare` may run in
    several threads at once, `infer` and `judge` in one at a time each. maps, overlay: what an engine on a GPU brings
    back besides the verdict; on the host the map is always there, and an overlay never. bands: what scores mean, from
    the next frame on where others are assigned.
    """

    def __init__(
        self, bundle: Bundle, engine: Engine, precision: str, *, maps: bool = True, overlay: bool = False
    ) -> None:
        variant = bundle.manifest.variant(precision)
        self.bundle, self.precision = bundle, precision
        self._bands = Bands(variant.thresholds, variant.score_range)
        self.height, self.width = bundle.manifest.height, bundle.manifest.width
        self.max_batch = bundle.manifest.max_batch
        self.digest = bundle.digest
        self.engine = engine
        engine.__enter__()
        try:
            pixel = self.thresholds.pixel.value
            self._pipeline = open_pipeline(engine, self.height, self.width, pixel, maps=maps, overlay=overlay)
        except BaseException:
            engine.__exit__(None, None, None)
            raise

    @property
    def bands(self) -> Bands:
        """What scores mean."""
        return self._bands

    @bands.setter
    def bands(self, bands: Bands) -> None:
        self._bands = bands
        self._pipeline.threshold = bands.thresholds.pixel.value

    @property
    def thresholds(self) -> Thresholds:
        """In raw units."""
        return self.bands.thresholds

    @property
    def score_range(self) -> tuple[float, float]:
        """Raw scores that become 0 and 1."""
        return self.bands.score_range

    def adopt(self, bundle: Bundle) -> None:
        """Judge by another bundle of the same graph, from the next frame on: by its thresholds, and in its name.

        For the thread that judges. Raises BundleError where it lacks the precision, which changes nothing.
        """
        variant = bundle.manifest.variant(self.precision)
        self.bundle, self.digest = bundle, bundle.digest
        self.bands = Bands(variant.thresholds, variant.score_range)

    def close(self) -> None:
        """Free the engine and what is around it."""
        try:
            self._pipeline.close()
        finally:
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
        answer = self.infer(prepared)
        done = time.perf_counter()
        frame = Frame(image, 0, "image", time.time())
        timing = {"prepare": (ready - begin) * 1e3, "infer": (done - ready) * 1e3}
        return self.judge(answer, frame, timing)

    def prepare(self, image: Image) -> Any:
        """Bring a frame (BGR or gray, any size) to the engine as the graph takes it; what comes of it is for `infer`
        alone, once, or may be let go."""
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = getattr(image, "dtype", type(image).__name__)
            raise FrameError(f"the frame is {kind}, not uint8", "detector", "give 8-bit frames as OpenCV does")
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or image.size == 0:
            raise FrameError(
                f"the frame has shape {image.shape}", "detector", "give [h, w, 3] in BGR order or [h, w] gray"
            )
        return self._pipeline.prepare(image)

    def infer(self, prepared: Any) -> Answer:
        """What `prepare` gave -> what the graph says of the frame, in raw units."""
        return self._pipeline.infer(prepared)

    def infer_some(self, prepared: Sequence[Any]) -> list[Answer]:
        """Likewise of several frames, at most `max_batch`, in one call of the engine where it takes them so."""
        return self._pipeline.infer_some(prepared)

    def judge(self, answer: Answer, frame: Frame, timing: dict[str, float]) -> Result:
        """Turn the answer for one frame into a result.

        Raises FrameError where the score or the map is not finite: such a frame is never accepted as good.
        """
        score, anomaly_map = answer.score, answer.anomaly_map
        if not np.isfinite(score) or not answer.finite:
            raise FrameError(
                "the engine gave a score that is not a number", f"frame {frame.frame_id}", "verify the engine"
            )
        bands = self.bands  # as they are now, for all of this frame
        pixel, verdict = bands.thresholds.pixel.value, bands.verdict(score)
        mask = anomaly_map >= pixel
        spots = find_spots(anomaly_map, pixel) if answer.spots is None else answer.spots
        return Result(
            pred_score=bands.normalise(score),
            pred_label=verdict is Verdict.REJECT,
            anomaly_map=anomaly_map,
            pred_mask=mask,
            raw_score=score,
            verdict=verdict,
            regions=in_frame(spots, (self.height, self.width), *frame.image.shape[:2]),
            frame_id=frame.frame_id,
            source=frame.source,
            captured_at=frame.captured_at,
            timing=timing,
            bundle=self.digest,
            engine=self.engine.digest,
            overlay=answer.overlay,
        )
