"""One photograph of one part, and the mask of what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import DataError
from edgead.synthetic import part
from edgead.synthetic.camera import Camera, develop
from edgead.synthetic.defects import DEFECTS
from edgead.synthetic.shading import Light, shade
from edgead.synthetic.surface import Pose

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Seed = int | Sequence[int]

GOOD = "good"
SMALLEST, LARGEST = 64, 2048
VISIBLE = 9  # of 255: a change that a person sees beside the unchanged picture
_ENOUGH = 0.0007  # of the photograph; a defect that changes less of it is drawn anew
_ATTEMPTS = 10
_FINE = 400  # below this size the surface has one and a half times the resolution, so that edges and marks do not alias


def photo(seed: Seed, size: int = 256, defect: str | None = None) -> tuple[Image, Mask]:
    """Photograph a part: RGB uint8 [size, size, 3], and the mask bool [size, size] of what the defect visibly changed.

    The same seed (0 or more) gives the same part, pose, light, camera and noise with every defect and without one (None
    or "good": the mask is empty). Raises DataError for an unknown defect, or a size outside 64..2048.
    """
    check_size(size)
    if defect not in (None, GOOD, *DEFECTS):
        raise DataError(f"no defect {defect!r}", "synthetic", f"choose one of {', '.join(DEFECTS)}")
    good = _expose(seed, size)
    noise = _stream(seed, 5).standard_normal(good.shape, dtype=np.float32)
    if defect is None or defect == GOOD:
        return develop(good, noise), np.zeros((size, size), np.bool_)
    for attempt in range(_ATTEMPTS):  # a defect may lie where the light hides it: then it is no example of a defect
        bad = _expose(seed, size, defect, attempt)
        mask = _changed(develop(good), develop(bad))
        if mask.sum() >= _ENOUGH * size * size:
            return develop(bad, noise), mask
    raise DataError(
        f"no visible {defect} in {_ATTEMPTS} attempts", f"seed {seed}", "take another seed or a larger size"
    )


def check_size(size: int) -> None:
    """Raise DataError for a size that cannot be rendered."""
    if not SMALLEST <= size <= LARGEST:
        raise DataError(f"{size} pixels are no size for a photograph", "synthetic", f"give {SMALLEST} to {LARGEST}")


def _stream(seed: Seed, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def _expose(seed: Seed, size: int, defect: str | None = None, attempt: int = 0) -> NDArray[np.float32]:
    """What reaches the sensor, 0..1 of its full scale, [size, size, 3]."""
    pose, light, camera = Pose.random(_stream(seed, 0)), Light.random(_stream(seed, 2)), Camera.random(_stream(seed, 4))
    surface = part.build(size if size >= _FINE else size * 3 // 2, pose, _stream(seed, 1))
    if defect is not None:
        DEFECTS[defect](surface, _stream(seed, 6, attempt))
    return camera.expose(shade(surface, light, size, _stream(seed, 3)))


def _changed(good: Image, bad: Image) -> Mask:
    """Where two noiseless pictures differ visibly, without crumbs and pinholes."""
    difference = cv2.absdiff(good, bad).max(axis=2)
    visible = (cv2.blur(difference, (3, 3)) >= VISIBLE).astype(np.uint8)
    visible = cv2.morphologyEx(visible, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(np.uint8)
    count, labels, regions, _ = cv2.connectedComponentsWithStats(visible)
    smallest = max(3, round(1e-4 * good.shape[0] ** 2))
    large = [label for label in range(1, count) if regions[label, cv2.CC_STAT_AREA] >= smallest]
    return np.isin(labels, large)
