"""Whether an engine judges the bundle's own images as it should: some parts that are known to be good, and some that
are known to be bad."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edgead.bands import Bands
from edgead.bundle import MEMBERS, Bundle
from edgead.detector import Detector
from edgead.errors import BundleError, EngineError
from edgead.frame import Image
from edgead.manifest import GOOD, Variant
from edgead.result import Verdict

TOLERANCE = 0.25
"""How far a score may be from the stored one, as a share of its distance from the reject threshold (`reach`)."""
_HEADER = struct.Struct(">8s4x4s2I")
_SIGNATURE, _FIRST = b"\x89PNG\r\n\x1a\n", b"IHDR"
_TODO = "build the engine again with `edgead build-engine`; where that does not help, export the bundle again"


@dataclass(frozen=True)
class Check:
    """One image. expected: `good` or `bad`. stored: the score in the bundle, of the same precision. score: the
    engine's, NaN where its score or its map is not finite. tolerance: by how much the two may differ. Raw units."""

    member: str
    expected: str
    stored: float
    score: float
    verdict: Verdict
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the verdict is of the expected kind, and the score near the stored one."""
        return self.judged and abs(self.score - self.stored) <= self.tolerance

    @property
    def judged(self) -> bool:
        """Whether the verdict is of the expected kind."""
        return math.isfinite(self.score) and is_expected(self.expected, self.verdict)

    def __str__(self) -> str:
        said = f"{self.verdict.value} at {self.score:.4g}" if math.isfinite(self.score) else "no finite answer"
        return f"{self.member}: {said}; {self.expected} at {self.stored:.4g} +- {self.tolerance:.2g} expected"

    def to_json(self) -> dict[str, Any]:
        return {
            "member": self.member,
            "expected": self.expected,
            "stored": self.stored,
            "score": self.score if math.isfinite(self.score) else None,
            "verdict": self.verdict.value,
            "tolerance": self.tolerance,
            "passed": self.passed,
        }


@dataclass(frozen=True)
class SelfTest:
    """What an engine says of its bundle's images; a bundle without images has nothing that could fail."""

    checks: tuple[Check, ...]

    @property
    def images(self) -> int:
        return len(self.checks)

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def lines(self) -> list[str]:
        """One line for each image."""
        return [f"{'ok' if check.passed else 'WRONG'}  {check}" for check in self.checks]

    def require(self, where: str) -> None:
        """Raise EngineError, naming the images, where the engine does not judge them as it should."""
        if not self.passed:
            wrong = "; ".join(str(check) for check in self.checks if not check.passed)
            raise EngineError(f"the engine does not judge the bundle's own images as it should: {wrong}", where, _TODO)

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "images": [check.to_json() for check in self.checks]}


def self_test(detector: Detector) -> SelfTest:
    """Judge the images in a detector's bundle as frames of a camera are, before there are any, and compare.

    Verdicts are by the thresholds of the bundle, whatever was changed on the running detector since, and scores are
    those of the detector's own precision, measured when it was built. Raises BundleError for an image that is none.
    """
    bundle, variant = detector.bundle, detector.bundle.manifest.variant(detector.precision)
    bands, expected = Bands(variant.thresholds, variant.score_range), expected_of(bundle)
    checks = []
    for member, image in known_images(bundle).items():
        if member not in variant.self_test:
            continue
        answer = detector.infer(detector.prepare(image))
        score = answer.score if answer.finite else math.nan
        tolerance = TOLERANCE * reach(variant, expected, member)
        stored = variant.self_test[member]
        checks.append(Check(member, expected[member], stored, score, bands.verdict(score), tolerance))
    return SelfTest(tuple(checks))


def stored_test(bundle: Bundle, precision: str) -> SelfTest:
    """Whether the thresholds of a bundle judge the scores that it remembers as they should; no engine is needed."""
    variant, expected = bundle.manifest.variant(precision), expected_of(bundle)
    bands = Bands(variant.thresholds, variant.score_range)
    scores = [(member, variant.self_test[member]) for member in expected if member in variant.self_test]
    return SelfTest(
        tuple(Check(member, expected[member], score, score, bands.verdict(score), 0.0) for member, score in scores)
    )


def known_images(bundle: Bundle) -> dict[str, Image]:
    """The images of a bundle's self-test by member, uint8 [H, W, 3] in BGR order, at the size that the graph takes.

    Raises BundleError for a member that is no PNG of that size; its header is read before anything is decoded.
    """
    manifest = bundle.manifest
    return {name: _decoded(name, bundle.members[name], manifest.height, manifest.width) for name in expected_of(bundle)}


def expected_of(bundle: Bundle) -> Mapping[str, str]:
    """`good` or `bad` by member, good ones first; empty for a bundle without images."""
    images = bundle.manifest.self_test
    return {name: images.expected[name] for name in MEMBERS if name in images.expected} if images else {}


def is_expected(expected: str, verdict: Verdict) -> bool:
    """Whether a verdict is one of a `good` or of a `bad` part. What has to be looked at is not rejected."""
    return (verdict is Verdict.REJECT) == (expected != GOOD)


def reach(variant: Variant, expected: Mapping[str, str], member: str) -> float:
    """What a change of an image's score is measured by: how far the worst of the good images is below the reject
    threshold; of a bad image, how far it is above where that is more. Raw units."""
    reject = variant.thresholds.image.value
    good = [score for name, score in variant.self_test.items() if expected[name] == GOOD]
    room = reject - max(good, default=reject)
    return room if expected[member] == GOOD else max(room, variant.self_test[member] - reject)


def _decoded(member: str, content: bytes, height: int, width: int) -> Image:
    todo = "export the bundle again"
    signature, first, *size = _HEADER.unpack_from(content.ljust(_HEADER.size, b"\0"))
    if (signature, first) != (_SIGNATURE, _FIRST):
        raise BundleError("an image of the self-test is no PNG", member, todo)
    if size != [width, height]:
        what = f"an image of the self-test has {size[1]} x {size[0]} pixels, the graph takes {height} x {width}"
        raise BundleError(what, member, todo)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise BundleError(f"an image of the self-test cannot be decoded ({error.err})", member, todo) from error
    if image is None or image.shape != (height, width, 3):
        raise BundleError("an image of the self-test is damaged", member, todo)
    return np.asarray(image, np.uint8)
