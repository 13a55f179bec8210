"""The answer to one frame."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Verdict(str, enum.Enum):
    """What to do with the part."""

    ACCEPT = "accept"
    WARN = "warn"
    REJECT = "reject"


@dataclass(frozen=True)
class Region:
    """One connected region of the anomaly map above the pixel threshold.

    box: (x, y, width, height) in pixels of the frame as it was given. area: pixels of the frame. peak: the highest raw
    value of the map inside.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float


@dataclass(frozen=True)
class Part:
    """The part that a verdict is of, where a trigger tells one from the next.

    name: as the trigger gave it, or its number. frames: that were judged, `rejected` and `warned` among them. lost:
    that were not. first_frame, last_frame: the ids of the first and the last one that was judged. begun: when the part
    began, in seconds of this process's time.monotonic, from which a gate counts its delay; no record has it.
    """

    name: str
    frames: int
    rejected: int
    warned: int
    lost: int
    first_frame: int
    last_frame: int
    begun: float


@dataclass(frozen=True)
class Result:
    """What a detector says of one frame, or of the part that the frame speaks for.

    pred_score: 0..1, where 0.5 is the threshold. pred_label: True when anomalous (verdict `reject`). anomaly_map:
    float32 [H, W] of the graph, raw units. pred_mask: bool [H, W], anomaly_map >= the pixel threshold; both are [0, 0]
    where a detector on a GPU was asked to leave maps there. raw_score: the graph's score. timing: milliseconds per
    stage. bundle: SHA-256 of the bundle's manifest. engine: SHA-256 of the serialised engine, empty where it is not
    known. captured_at: seconds since 1970-01-01 UTC. overlay: uint8 [h, w, 3] BGR, the frame with its map over it, half
    hot at the pixel threshold and outlined there, where a detector on a GPU was asked for it. Where rules were applied
    (`edgead.verdicts`): raw_verdict, what the detector said before them; ruled_score, the score in raw units of what
    areas and a least size left of the map, which pred_score is then made of, None where they left everything; part,
    what the verdict is of.
    """

    pred_score: float
    pred_label: bool
    anomaly_map: NDArray[np.float32]
    pred_mask: NDArray[np.bool_]
    raw_score: float
    verdict: Verdict
    regions: tuple[Region, ...]
    frame_id: int
    source: str
    captured_at: float
    timing: dict[str, float] = field(default_factory=dict)
    bundle: str = ""
    overlay: NDArray[np.uint8] | None = None
    raw_verdict: Verdict | None = None
    ruled_score: float | None = None
    part: Part | None = None
    engine: str = ""

    def record(self) -> dict[str, Any]:
        """The result without its arrays, ready for JSON: one line of a results file. What rules did is in it where
        rules were applied: `raw_verdict`, `ruled_score` and `part`."""
        ruled: dict[str, Any] = {}
        if self.raw_verdict is not None:
            part = None if self.part is None else asdict(self.part)
            if part is not None:
                del part["begun"]
            ruled = {"raw_verdict": self.raw_verdict.value, "ruled_score": self.ruled_score, "part": part}
        return {
            "frame_id": self.frame_id,
            "source": self.source,
            "captured_at": datetime.fromtimestamp(self.captured_at, timezone.utc).isoformat(timespec="microseconds"),
            "verdict": self.verdict.value,
            "pred_score": self.pred_score,
            "pred_label": self.pred_label,
            "raw_score": self.raw_score,
            "regions": [{"box": list(r.box), "area": r.area, "peak": r.peak} for r in self.regions],
            "timing": {stage: round(ms, 3) for stage, ms in self.timing.items()},
            "bundle": self.bundle,
            "engine": self.engine,
            **ruled,
        }
