"""Rules for several cameras in one run: to each its own state."""

from __future__ import annotations

from dataclasses import replace

from edgead.errors import DataError
from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.verdicts.areas import Area
from edgead.verdicts.rules import Rules
from edgead.verdicts.ruling import Outcome, Ruling
from edgead.verdicts.scoring import Scoring


class Rulings:
    """A `Ruling` for each camera, by the name of its frames' source, made when it is first heard of.

    scoring: others may be assigned, and hold for all from the next frame on. Raises DataError as `Ruling` does, at
    once, and for a trigger from outside, which knows no cameras.
    """

    def __init__(self, rules: Rules, scoring: Scoring) -> None:
        self.rules = rules
        self._scoring = scoring
        self._cameras: dict[str, Ruling] = {}
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
        self._scoring = scoring
        for ruling in self._cameras.values():
            ruling.scoring = scoring

    def look_only_at(self, roi: tuple[Area, ...]) -> None:
        """As `Ruling.look_only_at`, for all cameras."""
        if roi:
            self._scoring.require_map()
        self.rules = replace(self.rules, roi=roi)
        for ruling in list(self._cameras.values()):
            ruling.look_only_at(roi)

    def apply(self, result: Result, frame: Frame) -> list[Outcome]:
        """As `Ruling.apply`."""
        return self._of(frame.source).apply(result, frame)

    def lost(self, lost: LostFrame) -> list[Outcome]:
        """As `Ruling.lost`."""
        return self._of(lost.source).lost(lost)

    def finish(self) -> list[Outcome]:
        """As `Ruling.finish`, of each camera in turn."""
        return [outcome for ruling in self._cameras.values() for outcome in ruling.finish()]

    def cut_off(self) -> list[Outcome]:
        """As `Ruling.cut_off`, of each camera in turn."""
        return [outcome for ruling in self._cameras.values() for outcome in ruling.cut_off()]

    def close(self) -> None:
        """As `Ruling.close`, of each camera in turn."""
        for ruling in self._cameras.values():
            ruling.close()

    def _of(self, source: str) -> Ruling:
        if source not in self._cameras:
            self._cameras[source] = Ruling(self.rules, self._scoring)
        return self._cameras[source]
