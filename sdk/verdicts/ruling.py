"""Applying rules to the results of one camera, one after the other."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DataError, EngineError
from edgead.frame import Frame, LostFrame
from edgead.regions import find_spots, in_frame
from edgead.result import Result, Verdict
from edgead.verdicts.area_limit import cut_small, require_room
from edgead.verdicts.areas import Area, AreaKind, look_at
from edgead.verdicts.foreground import ForegroundTrigger
from edgead.verdicts.hysteresis import SteadyVerdict
from edgead.verdicts.lines import LineTrigger
from edgead.verdicts.moment import monotonic
from edgead.verdicts.opened import TriggerAddress, open_trigger
from edgead.verdicts.parts import OpenPart, PartFault, PartRule
from edgead.verdicts.rules import Rules
from edgead.verdicts.scoring import Scoring
from edgead.verdicts.trigger import MOST_EVENTS, Begin, Event, Refused, Trigger

Outcome: TypeAlias = tuple[Result, Frame] | PartFault
"""A verdict and the frame that speaks for it, or a part that has none."""

ON_ITS_WAY = 0.5
"""Seconds: longer than a frame takes from its capture to where it waits to be judged."""

Sizes: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Height and width of a map and of its frame."""


class Ruling:
    """The state of one run of rules over one camera.

    Without parts every result has one outcome at once. With parts a frame's outcome is that of the parts that end
    before it, or with it; frames between parts have none. `finish` ends the part under way, `close` the trigger.

    scoring: others may be assigned, and hold from the next frame on. coming: rules with other areas that hold from then
    on, None for the same. judged: the sizes of the last frame, None before the first. trigger: what begins parts, by
    default as the rules say. Raises DataError where the rules need the score of a part of the map and the detector's is
    none of its map, and where the trigger is one's own and none is given; an EdgeadError where the trigger cannot be
    opened.
    """

    def __init__(self, rules: Rules, scoring: Scoring, trigger: Trigger | None = None) -> None:
        self.rules = rules
        self.scoring = scoring
        if rules.need_map:
            scoring.require_map()
        self.coming: Rules | None = None
        self.judged: Sizes | None = None
        self._steady = SteadyVerdict(rules.hysteresis) if rules.hysteresis else None
        self._trigger = _trigger_of(rules.parts, trigger) if rules.parts else None
        self._waiting: deque[Event] = deque()  # what came after the last frame was captured
        self._part: OpenPart | None = None
        self._numbers = count(1)
        self._seen: Frame | LostFrame | None = None  # the last one
        self._drawn: Sizes | None = None  # of the frame that `_inside` is for
        self._inside: NDArray[np.bool_] = np.ones((0, 0), np.bool_)

    def apply(self, result: Result, frame: Frame) -> list[Outcome]:
        """One more result -> what there is to say now, oldest first.

        Raises DataError for a mask that does not fit the frame, EngineError where the map was not brought back.
        """
        if self.coming is not None:
            self.rules, self.coming, self._drawn = self.coming, None, None
        self.judged = _size(result.anomaly_map), _size(frame.image)
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
        captured = monotonic(frame.captured_at)
        outcomes = list(self._triggered(frame, captured, captured))
        if self._part is not None:
            self._part.add(ruled, ruled.raw_score if ruled.ruled_score is None else ruled.ruled_score, frame)
            if self._part.judged == self.rules.parts.frames:
                outcomes += self._close()
        return outcomes

    def redraw(self, kind: AreaKind, areas: tuple[Area, ...]) -> None:
        """Other areas of a kind, from the next frame on; without any, the whole picture or nothing to ignore. From any
        thread. Raises DataError as `redrawn`, and before the first frame, which tells how fine the map is."""
        if areas and self.judged is None:
            raise nothing_judged()
        self.coming = self.redrawn(kind, areas)

    def redrawn(self, kind: AreaKind, areas: tuple[Area, ...]) -> Rules:
        """The rules with other areas of a kind. Raises DataError where the score is none of the map, and where nothing
        of a frame like the last one would be left to look at."""
        if areas:
            self.scoring.require_map()
        rules = with_areas(self.coming or self.rules, kind, areas)
        if self.judged is not None and rules.need_map:
            _looked_at(rules, *self.judged)
        return rules

    def require_room(self, grid: tuple[int, int]) -> None:
        """Raise DataError where nothing of a frame like the last one would be left to look at on a map of that size."""
        rules = self.coming or self.rules
        if self.judged is not None and rules.need_map:
            _looked_at(rules, grid, self.judged[1])

    def lost(self, lost: LostFrame) -> list[Outcome]:
        """A frame was lost: it belongs to the part under way, and says nothing of it."""
        if self.rules.parts is None:
            return []
        self._seen = lost
        captured = monotonic(lost.captured_at)
        outcomes = list(self._triggered(None, captured, captured))
        if self._part is not None:
            self._part.lost += 1
        return outcomes

    def idle(self) -> list[Outcome]:
        """No frame waits to be judged: hear the trigger all the same, as parts pass while a camera is away, and a
        camera that each part triggers gives nothing between two of them. A frame that was captured before a signal may
        still come for ON_ITS_WAY seconds; a signal without a time waits for the next frame in any case. Once
        MOST_EVENTS wait the trigger is not heard, so that it keeps to its own bound."""
        hears = len(self._waiting) < MOST_EVENTS
        return list(self._triggered(None, time.monotonic() - ON_ITS_WAY, math.inf, hears=hears))

    def finish(self) -> list[Outcome]:
        """The run is over, and with it the part under way."""
        return [*self._triggered(None, math.inf, time.monotonic()), *self._close()] if self.rules.parts else []

    def cut_off(self) -> list[Outcome]:
        """The run was left early: a part under way was not seen whole, and has a fault instead of a verdict. So has one
        that has begun since the last frame was captured."""
        if self._trigger is not None:
            with suppress(Exception):  # one that failed, an own one with whatever error, may be why the run was left
                self._waiting.extend(self._trigger.observe(None))
        parts = [self._part] if self._part is not None else []
        parts += [self._begun(event, time.monotonic()) for event in self._waiting if isinstance(event, Begin)]
        refused = [event.reason for event in self._waiting if isinstance(event, Refused)]
        self._part = None
        self._waiting.clear()
        why = "the run was left before its end"
        cut = [self._fault(f"part {part.name} has no verdict: {why}", part.begun) for part in parts]
        return [*cut, *map(self._fault, refused)]

    def close(self) -> None:
        """Let the trigger go; no more results are given. Also when called twice."""
        if self._trigger is not None:
            self._trigger.close()

    def _triggered(self, frame: Frame | None, until: float, untimed: float, *, hears: bool = True) -> Iterator[Outcome]:
        """What happened until a time.monotonic, at which a frame was captured or lost: what came later waits for the
        next one. untimed: when that was of which nobody knows. hears: ask the trigger what came."""
        if self._trigger is not None and hears:
            self._waiting.extend(self._trigger.observe(frame))
        while self._waiting and _when(self._waiting[0], untimed) <= until:
            event = self._waiting.popleft()
            if isinstance(event, Refused):
                yield self._fault(event.reason)
                continue
            yield from self._close()
            if isinstance(event, Begin):
                self._part = self._begun(event, untimed)

    def _begun(self, event: Begin, untimed: float) -> OpenPart:
        number = next(self._numbers)
        return OpenPart(event.name or str(number), _when(event, untimed))

    def _close(self) -> list[Outcome]:
        part, self._part = self._part, None
        if part is None or self.rules.parts is None:
            return []
        said = part.close(self.rules.parts)
        return [self._fault(said, part.begun) if isinstance(said, str) else said]

    def _fault(self, reason: str, begun: float | None = None) -> PartFault:
        seen = self._seen
        if seen is None:
            return PartFault(0, "", time.time(), reason, begun)
        return PartFault(seen.frame_id, seen.source, seen.captured_at, reason, begun)

    def _within(self, result: Result, frame: Frame) -> Result:
        """The result of what lies in the areas and is large enough."""
        if not result.anomaly_map.size:
            todo = "load the detector with maps=True"
            raise EngineError("areas need the anomaly map, which stayed on the GPU", "rules", todo)
        grid, size = _size(result.anomaly_map), _size(frame.image)
        inside = self._areas(grid, size)
        scoring = self.scoring
        scoring.require_map()  # others may have been assigned since the areas were drawn
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
        if self._drawn != (grid, frame):
            self._inside = _looked_at(self.rules, grid, frame)
            self._drawn = (grid, frame)
        return self._inside


def with_areas(rules: Rules, kind: AreaKind, areas: tuple[Area, ...]) -> Rules:
    """The rules with other areas of a kind."""
    changed: dict[str, Any] = {kind: areas}
    return replace(rules, **changed)


def _looked_at(rules: Rules, grid: tuple[int, int], frame: tuple[int, int]) -> NDArray[np.bool_]:
    """bool `grid`: where to look on a map of that size. Raises DataError where no defect can be seen there, and for a
    bad mask."""
    inside = look_at(rules.roi, rules.ignore, grid, frame)
    if rules.min_area is not None:
        require_room(inside, rules.min_area.on_map(grid, frame))
    return inside


def _when(event: Event, untimed: float) -> float:
    """When an event happened, in seconds of time.monotonic; a signal that means nothing waits for no frame."""
    if isinstance(event, Refused):
        return -math.inf
    return untimed if event.at is None else event.at


def nothing_judged() -> DataError:
    """No frame has said how fine the map is."""
    return DataError("no frame was judged yet", "area", "draw it once there is a picture")


def _size(image: NDArray[Any]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


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
