"""Applying rules to the results of one camera, one after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DataError, EngineError
from edgead.frame import Frame, LostFrame
from edgead.regions import find_spots, in_frame
from edgead.result import Result, Verdict
from edgead.verdicts.area_limit import cut_small
from edgead.verdicts.areas import Area, look_at
from edgead.verdicts.foreground import ForegroundTrigger
from edgead.verdicts.hysteresis import SteadyVerdict
from edgead.verdicts.lines import LineTrigger
from edgead.verdicts.opened import TriggerAddress, open_trigger
from edgead.verdicts.parts import OpenPart, PartFault, PartRule
from edgead.verdicts.rules import Rules
from edgead.verdicts.scoring import Scoring
from edgead.verdicts.trigger import Begin, Refused, Trigger

Outcome: TypeAlias = tuple[Result, Frame] | PartFault
"""A verdict and the frame that speaks for it, or a part that has none."""


class Ruling:
    """The state of one run of rules over one camera.

    Without parts every result has one outcome at once. With parts a frame's outcome is that of the parts that end
    before it, or with it; frames between parts have none. `finish` ends the part under way, `close` the trigger.

    scoring: others may be assigned, and hold from the next frame on. trigger: what begins parts, by default as the
    rules say. Raises DataError where the rules need the score of a part of the map and the detector's is none of its
    map, and where the trigger is one's own and none is given; an EdgeadError where the trigger cannot be opened.
    """

    def __init__(self, rules: Rules, scoring: Scoring, trigger: Trigger | None = None) -> None:
        self.rules = rules
        self.scoring = scoring
        if rules.need_map:
            scoring.require_map()
        self._coming: Rules | None = None  # in force from the next frame on
        self._steady = SteadyVerdict(rules.hysteresis) if rules.hysteresis else None
        self._trigger = _trigger_of(rules.parts, trigger) if rules.parts else None
        self._part: OpenPart | None = None
        self._numbers = count(1)
        self._seen: Frame | LostFrame | None = None  # the last one
        self._sizes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        self._inside: NDArray[np.bool_] = np.ones((0, 0), np.bool_)

    def apply(self, result: Result, frame: Frame) -> list[Outcome]:
        """One more result -> what there is to say now, oldest first.

        Raises DataError for a mask that does not fit the frame, EngineError where the map was not brought back.
        """
        if self._coming is not None:
            self.rules, self._coming, self._sizes = self._coming, None, ((), ())
        if self.rules == Rules():
            return [(result, frame)]
        ruled = replace(result, raw_verdict=result.verdict)
        if self.rules.need_map:
            ruled = self._within(ruled, frame)
        if self._steady is not None:
            verdict = self._steady.add(ruled.verdict)
            ruled = replace(ruled, verdict=verdict, pred_label=verdict is Verdict.REJECT)
        if self.rules.parts is None:
            return [(ruled, frame)]
        self._seen = frame
        outcomes = list(self._triggered(frame))
        if self._part is not None:
            self._part.add(ruled, ruled.raw_score if ruled.ruled_score is None else ruled.ruled_score, frame)
            if self._part.judged == self.rules.parts.frames:
                outcomes += self._close()
        return outcomes

    def look_only_at(self, roi: tuple[Area, ...]) -> None:
        """Another region of interest, from the next frame on; without any, the whole picture. From any thread. Raises
        DataError where the score is none of the map."""
        if roi:
            self.scoring.require_map()
        self._coming = replace(self._coming or self.rules, roi=roi)

    def look_past(self, ignore: tuple[Area, ...]) -> None:
        """Other areas to ignore, likewise."""
        if ignore:
            self.scoring.require_map()
        self._coming = replace(self._coming or self.rules, ignore=ignore)

    def lost(self, lost: LostFrame) -> list[Outcome]:
        """A frame was lost: it belongs to the part under way, and says nothing of it."""
        if self.rules.parts is None:
            return []
        self._seen = lost
        outcomes = list(self._triggered(None))
        if self._part is not None:
            self._part.lost += 1
        return outcomes

    def finish(self) -> list[Outcome]:
        """The run is over, and with it the part under way."""
        return [*self._triggered(None), *self._close()] if self.rules.parts else []

    def cut_off(self) -> list[Outcome]:
        """The run was left early: a part under way was not seen whole, and has a fault instead of a verdict."""
        if self._part is None:
            return []
        name, self._part = self._part.name, None
        return [self._fault(f"part {name} has no verdict: the run was left before its end")]

    def close(self) -> None:
        """Let the trigger go; no more results are given. Also when called twice."""
        if self._trigger is not None:
            self._trigger.close()

    def _triggered(self, frame: Frame | None) -> Iterator[Outcome]:
        for event in self._trigger.observe(frame) if self._trigger else ():
            if isinstance(event, Refused):
                yield self._fault(event.reason)
                continue
            yield from self._close()
            if isinstance(event, Begin):
                number = next(self._numbers)
                self._part = OpenPart(event.name or str(number))

    def _close(self) -> list[Outcome]:
        part, self._part = self._part, None
        if part is None or self.rules.parts is None:
            return []
        said = part.close(self.rules.parts)
        return [self._fault(said) if isinstance(said, str) else said]

    def _fault(self, reason: str) -> PartFault:
        seen = self._seen
        if seen is None:
            return PartFault(0, "", time.time(), reason)
        return PartFault(seen.frame_id, seen.source, seen.captured_at, reason)

    def _within(self, result: Result, frame: Frame) -> Result:
        """The result of what lies in the areas and is large enough."""
        if not result.anomaly_map.size:
            todo = "load the detector with maps=True"
            raise EngineError("areas need the anomaly map, which stayed on the GPU", "rules", todo)
        grid = (result.anomaly_map.shape[0], result.anomaly_map.shape[1])
        size = (frame.image.shape[0], frame.image.shape[1])
        inside = self._areas(grid, size)
        scoring = self.scoring
        pixel = scoring.bands.thresholds.pixel.value
        values = result.anomaly_map if inside.all() else np.where(inside, result.anomaly_map, np.float32(-np.inf))
        if self.rules.min_area is not None:
            values = cut_small(values, scoring.levels, self.rules.min_area.on_map(grid, size))
        if values is result.anomaly_map:
            return result
        score = scoring.score(values, inside)
        verdict = scoring.bands.verdict(score)
        return replace(
            result,
            pred_score=scoring.bands.normalise(score),
            pred_label=verdict is Verdict.REJECT,
            pred_mask=values >= pixel,
            verdict=verdict,
            regions=in_frame(find_spots(values, pixel), grid, *size),
            ruled_score=score,
        )

    def _areas(self, grid: tuple[int, int], frame: tuple[int, int]) -> NDArray[np.bool_]:
        """Where to look on a map of that size; drawn again only where the frame's size changes."""
        if self._sizes != (grid, frame):
            self._inside = look_at(self.rules.roi, self.rules.ignore, grid, frame)
            self._sizes = (grid, frame)
        return self._inside


def _trigger_of(rule: PartRule, trigger: Trigger | None) -> Trigger:
    if trigger is not None:
        return trigger
    if rule.trigger == "own":
        raise DataError("the trigger of parts is one's own, and none is given", "parts", "give `Ruling` a trigger")
    if isinstance(rule.trigger, TriggerAddress):
        return open_trigger(rule.trigger)
    if rule.trigger != "stdin":
        return ForegroundTrigger(rule.trigger)
    try:
        return LineTrigger(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):  # None, none behind it, closed
        raise DataError("there is no standard input", "trigger", "start the command with one, as from a pipe") from None
