"""Rules for several cameras in one run: to each its own state."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

from edgead.errors import DataError
from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sources import IMAGES
from edgead.verdicts.areas import Area, AreaKind
from edgead.verdicts.rules import Rules
from edgead.verdicts.ruling import Outcome, Ruling, nothing_judged, with_areas
from edgead.verdicts.scoring import Scoring

MOST_SIZES = 32  # of frames, whose areas are kept as they were drawn


class Rulings:
    """A `Ruling` for each camera, by the name of its frames' source, made when it is first heard of.

    Rules without hysteresis and parts remember nothing of a camera. They have one for each size of frame instead,
    MOST_SIZES at most: a folder names every image as a source of its own. Rules with either raise DataError at the
    first frame of a file, as the images of a folder do not follow one another.

    scoring: others may be assigned, and hold for all from the next frame on. Raises DataError as `Ruling` does, at
    once, and for a trigger from outside, which knows no cameras.
    """

    def __init__(self, rules: Rules, scoring: Scoring) -> None:
        self.rules = rules
        self._scoring = scoring
        self._rulings: dict[str | tuple[int, ...], Ruling] = {}  # by source, or by the frame's height and width
        self._lock = threading.Lock()  # for what another thread may change while a ruling is made
        if rules.need_map:
            scoring.require_map()
        if rules.parts and rules.parts.from_outside:
            what = "the trigger says nothing of which camera it is for"
            raise DataError(what, "parts", "give each camera a `Ruling` and a run of its own")

    @property
    def scoring(self) -> Scoring:
        """Of all cameras."""
        return self._scoring

    @scoring.setter
    def scoring(self, scoring: Scoring) -> None:
        with self._lock:
            self._scoring = scoring
            for ruling in self._rulings.values():
                ruling.scoring = scoring

    def redraw(self, kind: AreaKind, areas: tuple[Area, ...]) -> None:
        """As `Ruling.redraw`, for all cameras or, where one cannot, for none."""
        with self._lock:
            rulings = tuple(self._rulings.values())
            if areas and not any(ruling.judged for ruling in rulings):
                raise nothing_judged()
            redrawn = [ruling.redrawn(kind, areas) for ruling in rulings]
            self.rules = with_areas(self.rules, kind, areas)
            for ruling, rules in zip(rulings, redrawn, strict=True):
                ruling.coming = rules

    def require_room(self, grid: tuple[int, int]) -> None:
        """As `Ruling.require_room`, for every camera."""
        with self._lock:
            rulings = tuple(self._rulings.values())
        for ruling in rulings:
            ruling.require_room(grid)

    def apply(self, result: Result, frame: Frame) -> list[Outcome]:
        """As `Ruling.apply`."""
        return self._of(frame.source if self._remember else frame.image.shape[:2]).apply(result, frame)

    def lost(self, lost: LostFrame) -> list[Outcome]:
        """As `Ruling.lost`."""
        return self._of(lost.source).lost(lost) if self._remember else []

    def idle(self) -> list[Outcome]:
        """As `Ruling.idle`, of each camera in turn."""
        return [outcome for ruling in self._rulings.values() for outcome in ruling.idle()]

    def finish(self) -> list[Outcome]:
        """As `Ruling.finish`, of each camera in turn."""
        return [outcome for ruling in self._rulings.values() for outcome in ruling.finish()]

    def cut_off(self) -> list[Outcome]:
        """As `Ruling.cut_off`, of each camera in turn."""
        return [outcome for ruling in self._rulings.values() for outcome in ruling.cut_off()]

    def close(self) -> None:
        """As `Ruling.close`, of each camera, also where one fails."""
        with ExitStack() as stack:
            for ruling in self._rulings.values():
                stack.callback(ruling.close)

    @property
    def _remember(self) -> bool:
        """Whether what a camera showed before matters to its next frame."""
        return bool(self.rules.hysteresis or self.rules.parts)

    def _of(self, key: str | tuple[int, ...]) -> Ruling:
        if key not in self._rulings:
            if isinstance(key, str) and _is_file(key):
                what = "hysteresis and parts follow cameras; several folders or videos have no such order"
                raise DataError(what, key, "give one folder or video, with a `Ruling`")
            with self._lock:
                if not self._remember and len(self._rulings) == MOST_SIZES:
                    del self._rulings[next(iter(self._rulings))]  # the oldest
                self._rulings[key] = Ruling(self.rules, self._scoring)
        return self._rulings[key]


def _is_file(source: str) -> bool:
    """Whether frames of that name are those of an image or a video, and of no camera."""
    path = Path(source)
    return "://" not in source and (path.suffix.lower() in IMAGES or path.is_file())
