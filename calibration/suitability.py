"""Whether images are fit to calibrate with: what speaks against them is a warning, or refuses them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.calibration.calibration_set import CalibrationSet
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.errors import CalibrationError
from edgead.manifest import Variant
from edgead.progress import Progress, silent

log = logging.getLogger(__name__)

FEW = 32
"""Of fewer images the whole range of a tensor is that of one or two, and what INT8 spoils is measured on as many."""
CLIPPED = 0.5
"""Share of pixels that are black or white in all channels. A white ground under a part easily has a third; where it is
most of the image, the exposure has cut off what there was to see, or the part is small."""
BLANK = 1.0
"""Standard deviation in gray levels: less is the noise of a covered camera."""
UNLIKE = 0.5
"""Share of images that may score unlike good parts. Thresholds of a few held-out images are passed by a sixth of other
good ones, in small trainings by a third; of noise, of defects and of other products, all pass them."""


def check_suitable(
    chosen: CalibrationSet, images: NDArray[np.uint8], bundle: Bundle, progress: Progress = silent
) -> CalibrationSet:
    """The set with its warnings, which are logged as well.

    images: those of the set as the graph reads them, uint8 [N, H, W, 3]. Raises CalibrationError, naming an image,
    where one shows nothing, or where more than half score unlike the good parts that the bundle was trained on: as the
    anomalies, noise or other product that they then are.
    """
    names = [sample.name for sample in chosen.samples]
    _refuse_blank(names, images)
    scores = _scores(images, bundle, progress)
    found = [
        *_few(len(images)),
        *_copies(chosen.duplicates),
        *_exposed(names, images),
        *_unlike(names, scores, bundle.manifest.variant("fp32")),
    ]
    for text in found:
        log.warning("%s", text)
    return replace(chosen, warnings=tuple(found))


def _few(count: int) -> list[str]:
    return [f"{count} calibration images are few: give {FEW} or more"] if count < FEW else []


def _copies(duplicates: int) -> list[str]:
    return [f"{duplicates} copies of calibration images were left out"] if duplicates else []


def _refuse_blank(names: Sequence[str], images: NDArray[np.uint8]) -> None:
    blank = [name for name, image in zip(names, images, strict=True) if image.std(axis=(0, 1)).max() < BLANK]
    if blank:
        todo = "take such images out of the folder"
        raise CalibrationError(f"{_of(blank, names)} show nothing: they are all of one colour", blank[0], todo)


def _exposed(names: Sequence[str], images: NDArray[np.uint8]) -> list[str]:
    clipped = [
        name
        for name, image in zip(names, images, strict=True)
        if max((image == 0).all(axis=2).mean(), (image == 255).all(axis=2).mean()) > CLIPPED
    ]
    if not clipped:
        return []
    return [f"{_of(clipped, names)} are over- or under-exposed, white or black by more than half: {_list(clipped)}"]


def _unlike(names: Sequence[str], scores: NDArray[np.float32], fp32: Variant) -> list[str]:
    """Images that score above the reject threshold, or as far below the lowest good image as that is below it.

    Networks that rebuild a part rebuild a smooth image better still, so that one of another product may score lower.
    """
    image, warn = fp32.thresholds.image, fp32.thresholds.warn
    low = fp32.score_range[0]
    outside = (scores >= image.value) | (scores < low - (image.value - low))
    unlike = [name for name, found in zip(names, outside, strict=True) if found]
    if not unlike:
        return []
    # Fitted to defects, or a probability, a threshold may lie where good parts are; a warn threshold below says that it
    # does not.
    known = image.method not in ("f1", "probability") or warn.value < image.value
    if known and len(unlike) > UNLIKE * len(names):
        what = f"{_of(unlike, names)} score unlike good parts in fp32: anomalies, noise or another product"
        todo = "calibrate with good images of what the bundle was trained on"
        raise CalibrationError(what, unlike[0], todo)
    return [f"{_of(unlike, names)} score unlike good parts in fp32: {_list(unlike)}"]


def _scores(images: NDArray[np.uint8], bundle: Bundle, progress: Progress) -> NDArray[np.float32]:
    batch, scores = bundle.manifest.max_batch, []
    with OnnxRuntimeEngine(bundle.graph("fp32"), max_batch=batch) as engine:
        for begin in range(0, len(images), batch):
            scores.append(engine.infer(images[begin : begin + batch])["score"].copy())
            progress("checking the images", min(begin + batch, len(images)), len(images))
    return np.concatenate(scores)


def _of(some: Sequence[str], names: Sequence[str]) -> str:
    return f"{len(some)} of {len(names)} calibration images"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
