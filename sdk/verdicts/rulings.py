"""Rules for several cameras in one run: to each its own state."""

from __future__ import annotations

import threading
from dataclasses import replace

from edgead.errors import DataError
from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.verdicts.areas import Area
from edgead.verdicts.rules import Rules
from edgead.verdicts.ruling import Outcome, Ruling
from edgead.verdicts.scoring import Scoring

MOST_SIZES = 32  # of frames, whose areas are kept as they were drawn


class Rulings:
    """A `Ruling` for each camera, by the name of its frames' source, made when it is first heard of.

    Rules without hysteresis and parts remember nothing of a camera. They have one for each size of frame instead,
    MOST_SIZES at most: a folder names every image as a source of its own.

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

    def look_only_at(self, roi: tuple[Area, ...]) -> None:
        """As `Ruling.look_only_at`, for all cameras."""
        if roi:
            self._scoring.require_map()
        with self._lock:
            self.rules = replace(self.rules, roi=roi)
            for ruling in self._rulings.values():
                ruling.look_only_at(roi)

    def look_past(self, ignore: tuple[Area, ...]) -> None:
        """As `Ruling.look_past`, for all cameras."""
        if ignore:
            self._scoring.require_map()
        with self._lock:
            self.rules = replace(self.rules, ignore=ignore)
            for ruling in self._rulings.values():
                ruling.look_past(ignore)

    def apply(self, result: Result, frame: Frame) -> list[Outcome]:
        """As `Ruling.apply`."""
        return self._of(frame.source if self._remember else frame.image.shape[:2]).apply(result, frame)

    def lost(self, lost: LostFrame) -> list[Outcome]:
        """As `Ruling.lost`."""
        return self._of(lost.source).lost(lost) if self._remember else []

    def finish(self) -> list[Outcome]:
        """As `Ruling.finish`, of each camera in turn."""
        return [outcome for ruling in self._rulings.values() for outcome in ruling.finish()]

    def cut_off(self) -> list[Outcome]:
        """As `Ruling.cut_off`, of each camera in turn."""
        return [outcome for ruling in self._rulings.values() for outcome in ruling.cut_off()]

    def close(self) -> None:
        """As `Ruling.close`, of each camera in turn."""
        for ruling in self._rulings.values():
            ruling.close()

    @property
    def _remember(self) -> bool:
        """Whether what a camera showed before matters to its next frame."""
        return bool(self.rules.hysteresis or self.rules.parts)

    def _of(self, key: str | tuple[int, ...]) -> Ruling:
        if key not in self._rulings:
            with self._lock:
                if not self._remember and len(self._rulings) == MOST_SIZES:
                    del self._rulings[next(iter(self._rulings))]  # the oldest
                self._rulings[key] = Ruling(self.rules, self._scoring)
        return self._rulings[key]
