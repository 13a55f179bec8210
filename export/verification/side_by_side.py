"""Two detectors that run, side by side on the same held-out images: any two engines, precisions or bundles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.calibration.images import Roles, assign_roles
from edgead.calibration.levels import LevelError, level_errors
from edgead.data.layout import Dataset, Sample
from edgead.data.loading import load_images
from edgead.detector import Detector
from edgead.export.verification.answers import run_all
from edgead.export.verification.comparison import Comparison, Measured, changed, compare, measure
from edgead.export.verification.held_out import HeldOut, hold_out
from edgead.kernels import resize
from edgead.progress import Progress, silent
from edgead.result import Verdict

_TRIED = 16  # images on which levels are compared


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two. bundle: its file, as it was named. digest: of the bundle. held: the images at its own size.
    measured: what it says of them, by the thresholds that its bundle has for its precision."""

    bundle: str
    digest: str
    family: str
    precision: str
    target: str
    held: HeldOut
    measured: Measured

    @property
    def runs(self) -> str:
        """How it runs, in words."""
        return f"{self.precision} on {self.target}"

    def to_json(self) -> dict[str, Any]:
        """Who it is."""
        height, width = self.held.images.shape[1:3]
        return {
            "bundle": self.bundle,
            "digest": self.digest,
            "family": self.family,
            "precision": self.precision,
            "target": self.target,
            "input": [height, width],
        }


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Two detectors' answers to the same images.

    judged, reference: the two. alike: whether they are one detector, which is to say, of the same fp32 graph. samples:
    where each held-out image is from; of one with a painted defect, the good part that it was painted on. seen: good
    images that the training of another reference has not held out, as far as the data is what it was trained on.
    levels: of one detector's features, how far the graph that is judged is off in each, on ONNX Runtime.
    """

    judged: Side
    reference: Side
    alike: bool
    samples: tuple[Sample, ...]
    seen: int
    comparison: Comparison
    levels: tuple[LevelError, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images."""
        return self.judged.held.names

    @cached_property
    def changed(self) -> list[int]:
        """Images whose verdict is another, in the order of `edgead.export.verification.comparison.changed`."""
        return changed(self.reference.measured, self.judged.measured, alike=self.alike)

    @property
    def title(self) -> str:
        """Who is compared, in words."""
        first, second = self.judged, self.reference
        names = Path(first.bundle).name, Path(second.bundle).name
        if first.digest == second.digest:
            return f"{names[0]}: {first.runs} beside {second.runs}"
        return f"{names[0]}, {first.runs}, beside {names[1]}, {second.runs}"

    @property
    def notes(self) -> list[str]:
        """What a reader has to know besides the figures."""
        notes = []
        if not self.alike:
            notes.append(
                "these are two detectors, whose scores and maps have units of their own: metrics, verdicts and the "
                "order of scores can be compared, maps cannot"
            )
        if self.seen:
            notes.append(
                f"{self.seen} of {self.comparison.good} good images are none that the training of the reference held "
                "out: where this is its data, it has seen them"
            )
        return notes

    def verdicts(self, index: int) -> tuple[Verdict, Verdict]:
        """The reference's verdict on an image, and that of the one that is judged."""
        return self.reference.measured.verdicts[index], self.judged.measured.verdicts[index]

    def crossed(self) -> NDArray[np.int64]:
        """[3, 3]: how many images the reference accepts, warns of or rejects (rows), by what the other does
        (columns)."""
        places = {verdict: place for place, verdict in enumerate(Verdict)}
        table = np.zeros((3, 3), np.int64)
        for before, after in zip(self.reference.measured.verdicts, self.judged.measured.verdicts, strict=True):
            table[places[before], places[after]] += 1
        return table

    def to_json(self) -> dict[str, Any]:
        return {
            **self.comparison.to_json(),
            "sides": {"judged": self.judged.to_json(), "reference": self.reference.to_json()},
            "same_detector": self.alike,
            "seen": self.seen,
            "levels": [asdict(level) for level in self.levels],
            "verdicts": {
                before.value: {after.value: int(count) for after, count in zip(Verdict, row, strict=True)}
                for before, row in zip(Verdict, self.crossed(), strict=True)
            },
            "changes": [self._change(index) for index in self.changed],
        }

    def _change(self, index: int) -> dict[str, Any]:
        sides = {"reference": self.reference, "judged": self.judged}
        told = {
            name: {
                "score": float(side.measured.answers.scores[index]),
                "verdict": side.measured.verdicts[index].value,
            }
            for name, side in sides.items()
        }
        return {"image": self.names[index], **told}


def side_by_side(
    judged: Detector,
    reference: Detector,
    dataset: Dataset,
    *,
    bundles: tuple[str, str],
    progress: Progress = silent,
) -> SideBySide:
    """Compare two running detectors by what each bundle judges by, on the images that the training of the first held
    out, or that are labelled.

    bundles: their files, as their user calls them. Raises GateRefused where one gives values that are not numbers.
    """
    roles = assign_roles(dataset, judged.bundle.manifest)
    alike = judged.bundle.graph("fp32") == reference.bundle.graph("fp32")
    held = hold_out(roles, judged.bundle.manifest, progress)
    samples = _origins(held, roles)
    first = _ask(judged, held, bundles[0], progress)
    second = _ask(reference, _resized(held, samples, roles, reference, progress), bundles[1], progress)
    theirs = {sample.name for sample in assign_roles(dataset, reference.bundle.manifest).calibration}
    seen = 0 if alike else sum(name in theirs for name in held.names[held.good])
    comparison = compare(held, second.measured, first.measured, target=first.target, emulated=False, alike=alike)
    levels: tuple[LevelError, ...] = ()
    if alike:
        before, after = (each.bundle.graph(each.precision) for each in (reference, judged))
        levels = level_errors(before, after, held.spread(_TRIED))
    return SideBySide(first, second, alike, samples, seen, comparison, levels)


def _ask(detector: Detector, held: HeldOut, bundle: str, progress: Progress) -> Side:
    manifest, engine = detector.bundle.manifest, detector.engine
    name = f"{bundle}, {detector.precision} on {engine.name},"
    answers = run_all(
        engine.infer, held.images, detector.max_batch, progress, f"running {detector.precision} on {engine.name}"
    )
    measured = measure(held, answers, detector.thresholds, name)
    return Side(bundle, detector.digest, manifest.family, detector.precision, engine.name, held, measured)


def _origins(held: HeldOut, roles: Roles) -> tuple[Sample, ...]:
    known = {sample.name: sample for sample in (*roles.validation, *roles.test)}
    return tuple(known.get(name) or known[name.removesuffix(" (painted)")] for name in held.names)


def _resized(
    held: HeldOut, samples: Sequence[Sample], roles: Roles, reference: Detector, progress: Progress
) -> HeldOut:
    """The same images as another detector sees them."""
    height, width = reference.height, reference.width
    if held.images.shape[1:3] == (height, width):
        return held
    if not held.painted:
        return hold_out(roles, reference.bundle.manifest, progress)
    # What was painted is carried over, as it changed the photograph: painted again, it would be another defect.
    images = load_images(samples, height, width, progress)
    masks = np.zeros(images.shape[:3], bool)
    for row in range(held.good.stop, len(samples)):
        before, after = held.images[held.names.index(samples[row].name)], held.images[row]
        change = resize(after, height, width).astype(np.int16) - resize(before, height, width)
        images[row] = np.clip(images[row] + change, 0, 255)
        masks[row] = _nearest(held.masks[row], height, width)
    return HeldOut(held.names, images, held.anomalous, masks, held.masked, painted=True)


def _nearest(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """As `read_mask` resizes."""
    rows = (2 * np.arange(height) + 1) * mask.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * mask.shape[1] // (2 * width)
    return np.asarray(mask[np.ix_(rows, columns)])
