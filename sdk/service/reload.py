"""What has changed in the bundle of a line that runs."""

from __future__ import annotations

from edgead.bundle import Bundle
from edgead.detector import Detector


def same_detector(detector: Detector, bundle: Bundle, precision: str) -> bool:
    """Whether a running detector needs no more than the thresholds of a bundle to become what `load` would make of it.

    Raises BundleError where the bundle lacks the precision.
    """
    graph = bundle.graph(precision)
    return (
        precision == detector.precision
        and graph == detector.bundle.graph(precision)
        and bundle.manifest.max_batch == detector.max_batch
    )


def adopt_thresholds(detector: Detector, bundle: Bundle) -> str:
    """Give a running detector the thresholds of a bundle with the same graph, from the next frame on; in words, what
    changed."""
    before = detector.thresholds
    detector.adopt(bundle)
    after = detector.thresholds
    changes = []
    for name in ("image", "warn", "pixel"):
        old, new = getattr(before, name).value, getattr(after, name).value
        if old != new:
            changes.append(f"{'reject' if name == 'image' else name} {old:.6g} becomes {new:.6g}")
    return ", ".join(changes) or "thresholds are as they were"
