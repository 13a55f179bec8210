"""Whether a camera still sees what the detector was made for: its scene, and the scores of good parts.

remembered = detector.bundle.manifest.variant(detector.precision).good_scores
reference = Reference.of(detector.thresholds, detector.score_range, remembered)
observers = [EachCamera(Scene, ["camera 0", "camera 1"]), *([Scores(reference)] if reference else [])]
for result in edgead.stream(detector, source, observers=observers, on_change=print): ...
"""

from __future__ import annotations

from edgead.drift.change import Change, Observer
from edgead.drift.each import EachCamera
from edgead.drift.reference import Reference
from edgead.drift.scene import Scene
from edgead.drift.scores import Scores

__all__ = ["Change", "EachCamera", "Observer", "Reference", "Scene", "Scores"]
