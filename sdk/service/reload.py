"""Thresholds of a line that runs, read again from its bundle."""

from __future__ import annotations

from pathlib import Path

from edgead.bands import Bands
from edgead.bundle import read_bundle
from edgead.detector import Detector
from edgead.errors import BundleError


def reload_thresholds(detector: Detector, path: Path) -> str:
    """Give a running detector the thresholds that its bundle has now, from the next frame on; in words, what changed.

    Raises BundleError where the file is damaged, has lost the precision, or holds another detector: its scores would
    have another unit. Then the detector goes on as it was.
    """
    bundle = read_bundle(path)
    variant = bundle.manifest.variant(detector.precision)
    if bundle.graph(detector.precision) != detector.bundle.graph(detector.precision):
        todo = "stop the line and start it again to change the detector"
        raise BundleError(f"the {detector.precision} graph is another one; thresholds are kept", path, todo)
    before, after = detector.thresholds, variant.thresholds
    if before == after:
        return "thresholds are as they were"
    detector.bands = Bands(after, variant.score_range)
    changes = []
    for name in ("image", "warn", "pixel"):
        old, new = getattr(before, name).value, getattr(after, name).value
        if old != new:
            changes.append(f"{'reject' if name == 'image' else name} {old:.6g} becomes {new:.6g}")
    return ", ".join(changes) or "thresholds are as they were"
