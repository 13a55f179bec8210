"""A verdict that does not flicker: k of the last n frames decide."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from edgead.errors import DataError
from edgead.result import Verdict


@dataclass(frozen=True)
class Hysteresis:
    """The verdict turns to reject when `reject` of the last `frames` frames are rejected, and back when `release` of
    them are not.

    release: by default the least that excludes both at once, and no fewer than `reject`. Raises DataError for numbers
    that cannot be met, and where both could hold for the same frames: reject + release has to exceed frames.
    """

    reject: int
    frames: int
    release: int | None = None

    def __post_init__(self) -> None:
        if self.release is None:
            object.__setattr__(self, "release", max(self.reject, self.frames - self.reject + 1))
        if not (1 <= self.reject <= self.frames and 1 <= self.needed <= self.frames):
            what = f"{self.reject} to reject and {self.needed} to release of {self.frames} frames cannot be met"
            raise DataError(what, "hysteresis", "give numbers from 1 to the number of frames")
        if self.reject + self.needed <= self.frames:
            what = f"{self.reject} of {self.frames} frames reject while {self.needed} of the same release"
            raise DataError(what, "hysteresis", f"release after at least {self.frames - self.reject + 1}")

    @property
    def needed(self) -> int:
        """How many frames that are not rejected turn the verdict back."""
        return self.release or 0

    @classmethod
    def parse(cls, text: str) -> Hysteresis:
        """`K/N`: k of the last n frames. Raises DataError for anything else."""
        numbers = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if numbers is None:
            raise DataError("this is no hysteresis", text, "give it like 3/5: 3 of the last 5 frames")
        return cls(int(numbers[1]), int(numbers[2]))


class SteadyVerdict:
    """The state of one camera: what its last n judged frames were, and whether it is rejecting.

    A lost frame is not judged: it does not enter, so it neither counts as good nor pushes a bad one out.
    """

    def __init__(self, rule: Hysteresis) -> None:
        self.rejecting = False
        self._rule = rule
        self._last: deque[bool] = deque(maxlen=rule.frames)

    def add(self, verdict: Verdict) -> Verdict:
        """One more frame's verdict -> the verdict of the line.

        While rejecting it is `reject`, whatever the frame is. Else it is the frame's, and `warn` for one that would be
        rejected: too few for a reject, and never an accept.
        """
        self._last.append(verdict is Verdict.REJECT)
        bad = sum(self._last)
        if self.rejecting:
            self.rejecting = len(self._last) - bad < self._rule.needed
        else:
            self.rejecting = bad >= self._rule.reject
        if self.rejecting:
            return Verdict.REJECT
        return Verdict.WARN if verdict is Verdict.REJECT else verdict
