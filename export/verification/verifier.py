"""Engines held against the fp32 graph of their bundle, on images that neither has seen: the proof that they stayed
right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import GRAPH, Bundle
from edgead.calibration.images import Roles
from edgead.data.loading import load_images
from edgead.data.samples import Sample
from edgead.drift.reference import Reference
from edgead.engines.base import Engine
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.export.known_images import scores_of_known
from edgead.export.package import score_range, thresholds_of
from edgead.export.verification.answers import Answers, run_all
from edgead.export.verification.comparison import Comparison, Measured, compare, measure
from edgead.export.verification.held_out import hold_out
from edgead.export.verification.parity import PARITY_IMAGES, check_runtime
from edgead.manifest import Manifest, Variant
from edgead.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class Verified:
    """An engine that was compared: how, and what is its own: the thresholds, the range of scores, what is remembered of
    good images' scores, and its scores of the images of the bundle's self-test."""

    comparison: Comparison
    measured: Measured
    score_range: tuple[float, float]
    good_scores: Reference
    self_test: Mapping[str, float]

    def variant(self, precision: str) -> Variant:
        """What a bundle says of it."""
        found = self.comparison
        metrics = None
        if not found.painted:
            metrics = {
                "image_auroc": found.metrics.image_auroc,
                "pixel_auroc": found.metrics.pixel_auroc,
                "aupro": found.metrics.aupro,
                "images": found.images,
            }
        return Variant(
            GRAPH[precision],
            self.measured.thresholds,
            self.score_range,
            metrics,
            found.to_json(),
            self.good_scores,
            self.self_test,
        )


class Verifier:
    """Compares engines with the fp32 graph of a bundle, by their own thresholds, fitted on the normal images that
    training held out. What all comparisons share is read, and run in fp32, once."""

    def __init__(
        self,
        bundle: Bundle,
        roles: Roles,
        threshold: str = "",
        labelled: Sequence[Sample] = (),
        progress: Progress = silent,
    ) -> None:
        """threshold: how thresholds are fitted, by default as `usual_threshold` says. labelled: defects, for the
        threshold `f1`."""
        manifest = bundle.manifest
        self.held = hold_out(roles, manifest, progress)
        self._bundle, self._progress = bundle, progress
        self._method = threshold or usual_threshold(manifest)
        # Where the test has no good images, those of validation are held out already.
        shared = self.held.names[self.held.good] == tuple(sample.name for sample in roles.validation)
        self._normal = None if shared else load_images(roles.validation, manifest.height, manifest.width, progress)
        self._defects = load_images(labelled, manifest.height, manifest.width, progress)

    @cached_property
    def reference(self) -> Measured:
        """What the fp32 graph says of the held-out images, by the thresholds that it was exported with."""
        manifest = self._bundle.manifest
        with OnnxRuntimeEngine(self._bundle.graph("fp32"), max_batch=manifest.max_batch) as engine:
            answers = run_all(
                engine.infer, self.held.images, manifest.max_batch, self._progress, f"running {engine.name}"
            )
        return measure(self.held, answers, manifest.variant("fp32").thresholds)

    def verify(self, engine: Engine, *, emulated: bool = False, progress: Progress = silent) -> Verified:
        """Compare a running engine. emulated: it stands in for one that cannot run here. Raises GateRefused where it
        gives values that are not numbers."""
        batch = self._bundle.manifest.max_batch

        def run(images: NDArray[np.uint8]) -> Answers:
            return run_all(engine.infer, images, batch, progress, f"running {engine.name}")

        answers = run(self.held.images)
        normal = answers[self.held.good] if self._normal is None else run(self._normal)
        bad = run(self._defects).scores if len(self._defects) else None
        thresholds = thresholds_of(normal, self._method, bad)
        measured = measure(self.held, answers, thresholds)
        comparison = compare(self.held, self.reference, measured, target=engine.name, emulated=emulated)
        return Verified(
            comparison,
            measured,
            score_range(normal, thresholds),
            Reference.of_scores(normal.scores),
            scores_of_known(self._bundle, engine.infer, thresholds, batch),
        )

    def check_runtime(self, engine: Engine, graph: bytes) -> None:
        """Raise GateRefused where a running engine computes something else than ONNX Runtime does of the same graph, on
        good images or on bad ones."""
        low, high = self._bundle.manifest.variant("fp32").score_range
        half = max(1, min(PARITY_IMAGES, self._bundle.manifest.max_batch) // 2)
        for images in (self.held.images[:half], self.held.images[self.held.good.stop :][:half]):
            if len(images):
                check_runtime(engine, graph, images, high - low)


def usual_threshold(manifest: Manifest) -> str:
    """How the exported thresholds were found, where good images are enough to find them so again; beside one of
    labelled images, the warn threshold tells."""
    image, warn = manifest.variant("fp32").thresholds.image, manifest.variant("fp32").thresholds.warn
    if image.method == "probability":
        return image.method
    asked = image if image.method != "f1" else warn
    # Where `tail` fell back to a quantile, it says why.
    return "quantile" if asked.method.startswith("quantile") and "no_tail" not in asked.detail else "tail"
