"""The images of a bundle's self-test: which good parts, and which bad ones, an engine has to judge as the fp32 graph
does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.bands import Bands
from edgead.bundle import SELF_TEST, Bundle
from edgead.errors import ExportError
from edgead.evaluation.thresholds import Thresholds
from edgead.export.verification.answers import Answers, Predict, run_all
from edgead.manifest import BAD, GOOD, SelfTestImages, Variant
from edgead.progress import Progress, silent
from edgead.selftest import expected_of, is_expected, known_images
from edgead.synthetic.painted import paint

Images = NDArray[np.uint8]

PAINTED = 32
"""Copies with painted defects that are looked through for those that are rejected most clearly."""
CLEAR = 0.5
"""How far a bad image has to be above the reject threshold, as a share of what the good ones are below it: nearer to
it, another processor's rounding is enough for the other verdict."""


@dataclass(frozen=True)
class Known:
    """What a bundle gets: the images by member as PNG, what is expected of each, and the fp32 graph's raw scores."""

    images: SelfTestImages
    scores: Mapping[str, float] = field(default_factory=dict)
    members: Mapping[str, bytes] = field(default_factory=dict)


def choose_known(
    predict: Predict,
    good: Images,
    answers: Answers,
    thresholds: Thresholds,
    *,
    batch: int,
    bad: Images,
    seed: int = 0,
    progress: Progress = silent,
) -> Known:
    """Choose up to three images of each kind.

    predict: the fp32 graph. good: uint8 [N, H, W, 3], RGB, images of good parts, of which `answers` are the graph's.
    bad: likewise of defects, [0, H, W, 3] where there are none; some are then painted on accepted good ones, the same
    for the same seed. Good are those whose score is nearest to the median of the accepted ones; bad are those of the
    highest scores, as far as they are rejected clearly (CLEAR).
    """
    reject, scores = thresholds.image.value, answers.scores.astype(np.float64)
    accepted = np.flatnonzero(scores < thresholds.warn.value)
    if not accepted.size:
        return Known(SelfTestImages({}, note="none of the good images is accepted"))
    off = np.abs(scores[accepted] - np.median(scores[accepted]))
    usual = accepted[np.argsort(off, kind="stable")[: len(SELF_TEST[GOOD])]]
    chosen = [(member, GOOD, good[i], scores[i]) for member, i in zip(SELF_TEST[GOOD], usual, strict=False)]

    painted = not len(bad)
    if painted:
        random = np.random.default_rng(seed)
        bad = np.stack([paint(good[i], random)[0] for i in random.permutation(accepted)[:PAINTED]])
    found = run_all(predict, bad, batch, progress, "choosing images for the self-test").scores.astype(np.float64)
    least = reject + CLEAR * (reject - scores[usual].max())
    worst = [i for i in np.argsort(-found, kind="stable") if found[i] >= least]
    chosen += [(member, BAD, bad[i], found[i]) for member, i in zip(SELF_TEST[BAD], worst, strict=False)]

    note = "" if worst else f"none of {len(bad)} {'painted' if painted else 'labelled'} defects is rejected clearly"
    expected = {member: kind for member, kind, _, _ in chosen}
    return Known(
        SelfTestImages(expected, painted=painted and bool(worst), note=note),
        {member: float(score) for member, _, _, score in chosen},
        {member: _png(member, image) for member, _, image, _ in chosen},
    )


def scores_of_known(bundle: Bundle, predict: Predict, thresholds: Thresholds, batch: int) -> dict[str, float]:
    """The raw scores that an engine of another precision gives the images of a bundle, by member; without those that it
    judges by its own thresholds as something else than expected, which it cannot be checked by."""
    images, expected = known_images(bundle), expected_of(bundle)
    if not images:
        return {}
    scores = run_all(predict, np.stack(list(images.values()))[..., ::-1], batch).scores
    bands = Bands(thresholds, (0.0, 1.0))
    found = {member: float(score) for member, score in zip(images, scores, strict=True)}
    return {member: score for member, score in found.items() if is_expected(expected[member], bands.verdict(score))}


def described(images: SelfTestImages | None, variant: Variant) -> str:
    """In words, what a precision of a bundle can be checked by."""
    if images is None:
        return "self-test: no images are stored, so a line cannot check its engine before it judges parts"
    kept = [images.expected[member] for member in variant.self_test]
    good, bad = kept.count(GOOD), kept.count(BAD)
    kind = "painted defects" if images.painted else "bad ones"
    words = f"self-test: {good} images of good parts and {bad} {kind}"
    left = len(images.expected) - len(kept)
    if left:
        words += f"; {left} others get another verdict in this precision"
    if not kept:
        return f"{words} ({images.note}): a line cannot check its engine before it judges parts"
    if not bad:
        words += f" ({images.note})" if images.note else ""
        return f"{words}: a line cannot check at its start that bad parts are still rejected"
    return words


def _png(member: str, image: Images) -> bytes:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ExportError("an image of the self-test cannot be encoded", member, "check the OpenCV installation")
    return encoded.tobytes()
