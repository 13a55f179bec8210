"""What the page shows of a run, in bounded memory."""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgead.frame import Frame, LostFrame
from edgead.histogram import Histogram
from edgead.result import Result, Verdict
from edgead.summary import STAGES

POINTS = 300  # scores in the timeline of a camera
FAULTS = 20  # lost frames that are named
RATE_SECONDS = 10.0
STALE_SECONDS = (3.0, 60.0)
STALE_PERIODS = 5  # a picture is old after that many of the camera's usual pauses, and within STALE_SECONDS
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Point:
    """One score of the timeline. number: counts a camera's results from 1. score: raw units; None where not finite."""

    number: int
    captured_at: float
    score: float | None
    verdict: str
    frame_id: int


@dataclass(frozen=True)
class Latest:
    """The newest result of a camera. number: counts its results from 1."""

    number: int
    result: Result
    frame: Frame


class Camera:
    """What is known of one camera."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.latest: Latest | None = None
        self.judged = self.lost = 0
        self.verdicts: Counter[Verdict] = Counter()
        self.stages = {stage: Histogram() for stage in STAGES}
        self.points: deque[Point] = deque(maxlen=POINTS)
        self._arrivals: deque[float] = deque(maxlen=256)  # time.monotonic()

    def add(self, result: Result, frame: Frame) -> None:
        """Note a result."""
        self.judged += 1
        self.verdicts[result.verdict] += 1
        for stage, milliseconds in result.timing.items():
            if stage in self.stages:
                self.stages[stage].add(milliseconds)
        point = Point(self.judged, result.captured_at, score_of(result), result.verdict.value, result.frame_id)
        self.points.append(point)
        self._arrivals.append(time.monotonic())
        self.latest = Latest(self.judged, result, frame)

    @property
    def age(self) -> float | None:
        """Seconds since the last result came, None before the first."""
        return time.monotonic() - self._arrivals[-1] if self._arrivals else None

    @property
    def patience(self) -> float:
        """Seconds without a result after which the last one is old."""
        if len(self._arrivals) < 2:
            return STALE_SECONDS[0]
        period = (self._arrivals[-1] - self._arrivals[0]) / (len(self._arrivals) - 1)
        return min(max(STALE_PERIODS * period, STALE_SECONDS[0]), STALE_SECONDS[1])

    @property
    def state(self) -> str:
        """`waiting` for the first result, `live`, or `stale`."""
        age = self.age
        return "waiting" if age is None else "stale" if age > self.patience else "live"

    @property
    def rate(self) -> float:
        """Results per second, over the last ten seconds."""
        now = time.monotonic()
        recent = [at for at in self._arrivals.copy() if now - at < RATE_SECONDS]
        return (len(recent) - 1) / (now - recent[0]) if len(recent) > 1 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Counters, health and latency."""
        return {
            "name": self.name,
            "state": self.state,
            "age": self.age,
            "rate": self.rate,
            "judged": self.judged,
            "lost": self.lost,
            "verdicts": {verdict.value: self.verdicts[verdict] for verdict in Verdict},
            "stages": {
                stage: {f"p{percent}": histogram.percentile(percent) for percent in PERCENTILES}
                for stage, histogram in self.stages.items()
                if histogram.count
            },
        }


class Board:
    """The newest result of each camera, its counters, its last scores, and the last faults.

    One thread writes, others read at any time, and no lock is between them: what they read are counts, and copies that
    are made in one step of the interpreter, so that nobody who looks can hold up the line. cameras: the names of
    sources as results have them; what comes from any other source counts for the first. With none given all is one
    camera, named after what came last (a folder's images each have a name of their own).
    """

    def __init__(self, cameras: Sequence[str] = ()) -> None:
        self.run = secrets.token_hex(8)
        self.cameras = tuple(Camera(name) for name in cameras or ("",))
        self._index = {camera.name: number for number, camera in enumerate(self.cameras)}
        self._faults: deque[dict[str, Any]] = deque(maxlen=FAULTS)

    def index(self, source: str) -> int:
        """The number of the camera that a source counts for."""
        return self._index.get(source, 0)

    def add(self, result: Result, frame: Frame) -> None:
        """Note a result."""
        self.cameras[self.index(result.source)].add(result, frame)

    def lose(self, lost: LostFrame) -> None:
        """Note a lost frame."""
        self.cameras[self.index(lost.source)].lost += 1
        fault = {"at": lost.captured_at, "source": lost.source, "frame_id": lost.frame_id, "reason": lost.reason}
        self._faults.appendleft(fault)

    def latest(self, camera: int) -> Latest | None:
        """The newest result of a camera."""
        return self.cameras[camera].latest

    def to_json(self, camera: int, after: int) -> dict[str, Any]:
        """All cameras, the faults, and of one camera the points of the timeline whose number is above `after`."""
        return {
            "run": self.run,
            "cameras": [one.to_json() for one in self.cameras],
            "points": [asdict(point) for point in self.cameras[camera].points.copy() if point.number > after],
            "faults": list(self._faults.copy()),
        }


def score_of(result: Result) -> float | None:
    """The score that the verdict was made of, in raw units; None where it is no finite number."""
    score = result.raw_score if result.ruled_score is None else result.ruled_score
    return float(score) if math.isfinite(score) else None
