"""Engines held against the fp32 graph of their bundle, on images that neither has seen: the proof that they stayed
right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from edgead.export.verification.halves import judging_half
from edgead.export.verification.held_out import HeldOut, hold_out
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


@dataclass(frozen=True, eq=False)
class _Part:
    """Some of the held-out images. rows: bool [N], which. reference: what the fp32 graph says of them."""

    rows: NDArray[np.bool_]
    held: HeldOut
    reference: Measured


class Verifier:
    """Compares engines with the fp32 graph of a bundle, by their own thresholds, fitted on the normal images that
    training held out. What all comparisons share is read, and run in fp32, once.

    Of the held-out images some choose among engines that are tried, and the others judge the one chosen: its figures
    would flatter on those that chose it. Where nothing is chosen, or there are too few to part them, all do both.
    """

    def __init__(
        self,
        bundle: Bundle,
        roles: Roles,
        threshold: str = "",
        labelled: Sequence[Sample] = (),
        progress: Progress = silent,
        *,
        choosing: bool = False,
    ) -> None:
        """threshold: how thresholds are fitted, by default as `usual_threshold` says. labelled: defects, for the
        threshold `f1`. choosing: whether engines will be tried to choose among them."""
        manifest = bundle.manifest
        self.held = hold_out(roles, manifest, progress)
        self._bundle, self._progress = bundle, progress
        self._method = threshold or usual_threshold(manifest)
        # Where the test has no good images, those of validation are held out already.
        shared = self.held.names[self.held.good] == tuple(sample.name for sample in roles.validation)
        self._normal = None if shared else load_images(roles.validation, manifest.height, manifest.width, progress)
        self._defects = load_images(labelled, manifest.height, manifest.width, progress)
        self._chooses = choosing
        self._judging_half = judging_half(self.held, int(manifest.training.get("seed", 0))) if choosing else None

    @cached_property
    def reference(self) -> Measured:
        """What the fp32 graph says of the held-out images, by the thresholds that it was exported with."""
        return measure(self.held, self._reference, self._bundle.manifest.variant("fp32").thresholds)

    @property
    def choosing(self) -> HeldOut:
        """The images that choose."""
        return self._choosing.held

    @cached_property
    def _reference(self) -> Answers:
        manifest = self._bundle.manifest
        with OnnxRuntimeEngine(self._bundle.graph("fp32"), max_batch=manifest.max_batch) as engine:
            return run_all(engine.infer, self.held.images, manifest.max_batch, self._progress, f"running {engine.name}")

    @cached_property
    def _whole(self) -> _Part:
        return _Part(np.ones(len(self.held.names), bool), self.held, self.reference)

    @cached_property
    def _choosing(self) -> _Part:
        return self._whole if self._judging_half is None else self._part(~self._judging_half)

    @cached_property
    def _judging(self) -> _Part:
        return self._whole if self._judging_half is None else self._part(self._judging_half)

    def _part(self, rows: NDArray[np.bool_]) -> _Part:
        held, thresholds = self.held[rows], self._bundle.manifest.variant("fp32").thresholds
        return _Part(rows, held, measure(held, self._reference[rows], thresholds))

    def try_out(self, engine: Engine, progress: Progress = silent) -> Comparison:
        """Compare a running engine, to choose it or another. Raises GateRefused likewise."""
        return self._verified(engine, self._choosing, emulated=False, progress=progress).comparison

    def verify(self, engine: Engine, *, emulated: bool = False, progress: Progress = silent) -> Verified:
        """Compare a running engine, to judge it. emulated: it stands in for one that cannot run here. Raises
        GateRefused where it gives values that are not numbers."""
        found = self._verified(engine, self._judging, emulated=emulated, progress=progress)
        if not self._chooses:
            return found
        count, apart = len(self.choosing.names), self._judging_half is not None
        return replace(found, comparison=replace(found.comparison, chosen_by=count, chosen_apart=apart))

    def _verified(self, engine: Engine, part: _Part, *, emulated: bool, progress: Progress) -> Verified:
        batch = self._bundle.manifest.max_batch

        def run(images: NDArray[np.uint8]) -> Answers:
            return run_all(engine.infer, images, batch, progress, f"running {engine.name}")

        if self._normal is None:
            everything = run(self.held.images)
            answers, normal = everything[part.rows], everything[self.held.good]
        else:
            answers, normal = run(part.held.images), run(self._normal)
        bad = run(self._defects).scores if len(self._defects) else None
        thresholds = thresholds_of(normal, self._method, bad)
        measured = measure(part.held, answers, thresholds)
        comparison = compare(part.held, part.reference, measured, target=engine.name, emulated=emulated)
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
