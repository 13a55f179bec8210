"""What a run amounted to: counts, rate, and time per stage."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from edgead.drift.change import Change
from edgead.histogram import Histogram
from edgead.result import Result, Verdict

STAGES = ("capture", "prepare", "wait", "infer", "judge", "sinks", "total")


class Summary:
    """The counts of a run, right at any time while it goes on, in constant memory.

    frames: delivered or announced as lost by the source. judged: have a verdict. dropped: replaced by a newer frame
    before their turn (policy `latest`). lost: could not be read, or were refused by the detector. Whatever is left of
    `frames` was still on its way when the run ended. verdicts: of frames, or of parts where a trigger makes parts of
    them. parts, part_faults: how many parts have a verdict, and how many have none. changes: what observers have
    noticed, the first 1000 of them. spooled: records that wait, on the disk or on their way there, for a sink that does
    not have them yet; at the end of a run those of a sink that fails, which its next run delivers. troubles: what keeps
    which sink from its work just now. swaps: how often another detector took
    over, counted by whoever swaps (`edgead.LiveDetector`).

    Stages, in milliseconds: capture (getting a frame from the source, waiting for the camera included), prepare
    (resizing), wait (in the queue), infer, judge, sinks (writing one record in one sink), total (from the capture to
    the verdict).
    """

    def __init__(self, source: str = "") -> None:
        self.source = source
        self.frames = self.judged = self.dropped = self.lost = self.spooled = 0
        self.parts = self.part_faults = self.swaps = 0
        self.verdicts: Counter[Verdict] = Counter()
        self.changes: list[Change] = []
        self.troubles: dict[str, str] = {}
        self.stages = {stage: Histogram() for stage in STAGES}
        self._began = self._ended = 0.0

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def end(self) -> None:
        """Stop the clock."""
        self._ended = time.monotonic()

    @property
    def duration(self) -> float:
        """Seconds from the start of the run to its end, or to now."""
        return (self._ended or time.monotonic()) - self._began if self._began else 0.0

    @property
    def rate(self) -> float:
        """Verdicts per second."""
        return self.judged / self.duration if self.duration > 0 else 0.0

    @property
    def unfinished(self) -> int:
        """Frames that were on their way when the run ended: without a verdict, and not recorded as lost."""
        return self.frames - self.judged - self.dropped - self.lost

    def count(self, result: Result) -> None:
        """Count one frame's verdict and the stages of its timing."""
        self.measure(result)
        self.conclude(result)

    def conclude(self, result: Result) -> None:
        """Count one verdict, of a frame or of a part."""
        self.verdicts[result.verdict] += 1
        self.parts += result.part is not None

    def note(self, change: Change) -> None:
        """Keep what an observer has noticed."""
        if len(self.changes) < _MOST_CHANGES:
            self.changes.append(change)

    def measure(self, result: Result) -> None:
        """Count one frame that was judged, and the stages of its timing."""
        self.judged += 1
        for stage, milliseconds in result.timing.items():
            if stage in self.stages:
                self.stages[stage].add(milliseconds)

    def to_json(self) -> dict[str, Any]:
        """The summary ready for JSON; `parts`, `changes` and `swaps` are in it where there are some."""
        ruled: dict[str, Any] = {}
        if self.parts or self.part_faults:
            ruled["parts"] = {"judged": self.parts, "faults": self.part_faults}
        if self.changes:
            ruled["changes"] = [change.to_json() for change in self.changes]
        if self.swaps:
            ruled["swaps"] = self.swaps
        return {
            "source": self.source,
            "frames": self.frames,
            "judged": self.judged,
            "dropped": self.dropped,
            "lost": self.lost,
            "unfinished": self.unfinished,
            "spooled": self.spooled,
            "verdicts": {verdict.value: self.verdicts[verdict] for verdict in Verdict},
            "seconds": round(self.duration, 3),
            "frames_per_second": round(self.rate, 2),
            "milliseconds": {
                stage: {name: round(histogram.percentile(percent), 3) for name, percent in _PERCENTILES}
                for stage, histogram in self.stages.items()
                if histogram.count
            },
            **ruled,
        }

    def lines(self) -> list[str]:
        """The summary for people."""
        verdicts = ", ".join(f"{self.verdicts[verdict]} {verdict.value}" for verdict in Verdict)
        head = [
            f"{self.judged} frames judged in {self.duration:.1f} s ({self.rate:.1f} frames/s): {verdicts}",
            f"{self.frames} frames read, {self.dropped} dropped, {self.lost} lost, {self.unfinished} unfinished",
        ]
        if self.parts or self.part_faults:
            head.append(f"{self.parts} parts judged, {self.part_faults} without a verdict")
        if self.swaps:
            head.append(f"another detector took over {self.swaps} times")
        head += [f"changed at frame {change.frame_id}: {change.text}" for change in self.changes[:10]]
        if self.spooled:
            head.append(f"{self.spooled} records wait in a spool for the next run, as a sink did not take them")
        timed = [(stage, histogram) for stage, histogram in self.stages.items() if histogram.count]
        if timed:
            head.append(f"{'milliseconds':<14}{'p50':>10}{'p95':>10}{'p99':>10}")
        return head + [
            f"  {stage:<12}" + "".join(f"{histogram.percentile(percent):>10.2f}" for _, percent in _PERCENTILES)
            for stage, histogram in timed
        ]


_MOST_CHANGES = 1000
_PERCENTILES = (("p50", 50), ("p95", 95), ("p99", 99))
