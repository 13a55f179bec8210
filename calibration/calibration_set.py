"""A calibration set: which images set the INT8 ranges, and how they were chosen, so that it can be found again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgead.bundle import Bundle
from edgead.calibration.features import layer_features
from edgead.calibration.selection import SELECTIONS, in_turns, k_centres, shuffled
from edgead.data.loading import image_bytes
from edgead.data.samples import Sample
from edgead.errors import CalibrationError
from edgead.progress import Progress, silent

RECORDS = {"int8": "calibration.json", "mixed": "calibration.mixed.json"}
"""Member of a bundle with how a precision was calibrated."""
SIZE = 512
"""Calibration images where nobody says how many."""
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class CalibrationSet:
    """Images that set the INT8 ranges.

    samples, digests: the images, and the SHA-256 of each (of its file's bytes, or of its pixels where a file holds
    many). select: how they were chosen, one of SELECTIONS. size: how many were asked for; there may be fewer. seed: of
    the draw. duplicates: images that were passed over as copies of one taken. warnings: what is to be known before the
    ranges are trusted, one sentence each.
    """

    samples: tuple[Sample, ...]
    digests: tuple[str, ...]
    select: str
    size: int
    seed: int
    duplicates: int = 0
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record: names and digests, never pixels or paths. `again` finds the set by it."""
        pairs = zip(self.samples, self.digests, strict=True)
        return {
            "images": [{"name": sample.name, "sha256": digest} for sample, digest in pairs],
            "select": self.select,
            "size": self.size,
            "seed": self.seed,
            "duplicates": self.duplicates,
            "warnings": list(self.warnings),
        }


def choose_images(
    candidates: Sequence[Sample],
    bundle: Bundle,
    *,
    select: str = "random",
    size: int = SIZE,
    progress: Progress = silent,
) -> CalibrationSet:
    """Choose `size` of the candidates, or all where there are fewer, by the seed of the bundle's training.

    select: `random`; `stratified`, as many of each class; `coreset`, so that every candidate is like one of those
    chosen, by what the bundle's fp32 graph sees in them. Copies of an image, by its digest, count once. The choice does
    not depend on the order of the candidates. Raises CalibrationError for an unknown selection or a size below 1.
    """
    if select not in SELECTIONS:
        raise CalibrationError(f"no selection {select!r}", "calibration", f"choose one of {', '.join(SELECTIONS)}")
    if size < 1:
        todo = f"take at least 1; {SIZE} are usual"
        raise CalibrationError(f"{size} calibration images are too few", "calibration", todo)
    manifest = bundle.manifest
    seed = int(manifest.training.get("seed", 0))
    drawn = shuffled(candidates, seed)
    ordered: Iterable[Sample] = drawn
    if select == "stratified":
        ordered = in_turns(drawn)
    elif select == "coreset":
        features = layer_features(bundle.graph("fp32"), drawn, manifest.height, manifest.width, progress)
        ordered = (drawn[index] for index in k_centres(features))
    taken, duplicates = _distinct(ordered, size)
    return CalibrationSet(tuple(taken.values()), tuple(taken), select, size, seed, duplicates)


def _distinct(ordered: Iterable[Sample], size: int) -> tuple[dict[str, Sample], int]:
    """The first `size` different images by digest, and how many copies were passed over on the way."""
    taken: dict[str, Sample] = {}
    duplicates = 0
    for sample in ordered:
        if taken.setdefault(digest_of(sample), sample) is not sample:
            duplicates += 1
        if len(taken) == size:
            break
    return taken, duplicates


def again(record: Mapping[str, Any], samples: Sequence[Sample]) -> CalibrationSet:
    """The set of a record among `samples`, image by image in its order, also where files have other names now.

    record: what `read_record` gives. Raises CalibrationError, naming the first image that is missing or has changed,
    and for what is no record.
    """
    images, details = _checked(record)
    named = {sample.name: sample for sample in samples}
    digests: dict[str, Sample] = {}
    found: list[Sample] = []
    for name, digest in images:
        sample = named.get(name)
        if sample is None or digest_of(sample) != digest:
            # All are read, but only once something is not where it was.
            digests = digests or {digest_of(other): other for other in samples}
            if digest not in digests:
                what = "the image has changed since" if sample else "the image is missing"
                todo = "give the data that the calibration was made with, or choose a new set"
                raise CalibrationError(f"{what}, so the calibration cannot be repeated", name, todo)
            sample = digests[digest]
        found.append(sample)
    return CalibrationSet(tuple(found), tuple(digest for _, digest in images), **details)


def read_record(bundle: Bundle, precision: str = "int8") -> dict[str, Any]:
    """How a graph of a bundle was calibrated. Raises CalibrationError where it has none."""
    content = bundle.members.get(RECORDS[precision])
    if content is None:
        raise CalibrationError("the bundle has no calibration", RECORDS[precision], "run `edgead calibrate` first")
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _no_record(f"it is not JSON ({error})") from error
    if not isinstance(record, dict):
        raise _no_record("it is no object")
    return record


def digest_of(sample: Sample) -> str:
    """SHA-256 of an image, in hexadecimal. Raises DataError where it cannot be read."""
    return hashlib.sha256(image_bytes(sample)).hexdigest()


def _checked(record: Mapping[str, Any]) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """(name, digest) of the images, and the other fields of a set. Older records say nothing of the selection: it was
    random."""
    entries = record.get("images")
    if not isinstance(entries, list) or not entries:
        raise _no_record("it names no images")
    images = []
    for entry in entries:
        name, digest = (entry.get("name"), entry.get("sha256")) if isinstance(entry, Mapping) else (None, None)
        if not isinstance(name, str) or not isinstance(digest, str) or not _SHA256.match(digest):
            raise _no_record(f"{entry!r:.100} is no name with a SHA-256")
        images.append((name, digest))
    select, warnings = record.get("select", "random"), record.get("warnings", [])
    numbers = {"size": record.get("size", len(images)), "seed": record.get("seed", 0)}
    numbers["duplicates"] = record.get("duplicates", 0)
    if select not in SELECTIONS or not all(type(number) is int for number in numbers.values()):
        raise _no_record("it does not say how the images were chosen")
    if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
        raise _no_record("its warnings are no sentences")
    return images, {"select": select, "warnings": tuple(warnings), **numbers}


def _no_record(reason: str) -> CalibrationError:
    return CalibrationError(f"this is no record of a calibration: {reason}", RECORDS["int8"], "calibrate again")
