"""One part, one verdict: the frames between two triggers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from edgead.errors import DataError
from edgead.frame import Frame, LostFrame
from edgead.result import Part, Result, Verdict
from edgead.verdicts.foreground import Line
from edgead.verdicts.opened import TriggerAddress

WORST_FIRST = (Verdict.REJECT, Verdict.WARN, Verdict.ACCEPT)


@dataclass(frozen=True)
class PartRule:
    """How frames make a part.

    trigger: what begins one: lines on standard input, foreground that crosses a line, what comes from an address, or a
    `Trigger` of the caller's own. agree: the part's verdict is that of its `agree`-th worst frame, so 1 means the
    worst; a part with fewer frames has its worst frame's, as so few cannot outvote it. frames: after so many judged
    frames the part is over; by default it goes on to the next trigger. Raises DataError for numbers below 1.
    """

    trigger: Literal["stdin", "own"] | Line | TriggerAddress
    agree: int = 1
    frames: int | None = None

    def __post_init__(self) -> None:
        if self.agree < 1 or (self.frames is not None and self.frames < self.agree):
            what = f"{self.agree} of at most {self.frames} frames cannot agree"
            raise DataError(what, "parts", "give 1 or more, and no more than a part has frames")

    @property
    def from_outside(self) -> bool:
        """Whether the trigger is a signal that says nothing of which camera it is for."""
        return not isinstance(self.trigger, Line)

    def verdict(self, counts: Counter[Verdict]) -> Verdict:
        """The verdict of a part with so many frames of each verdict, at least one."""
        place = self.agree if counts.total() >= self.agree else 1
        return next(v for v in WORST_FIRST if sum(counts[w] for w in WORST_FIRST[: WORST_FIRST.index(v) + 1]) >= place)


@dataclass(frozen=True)
class PartFault(LostFrame):
    """A part that has no verdict, or a trigger's signal that means nothing: recorded like a lost frame, at the last
    frame that was seen. It is never an accept. begun: as in `Part`; None where it is no part's."""

    begun: float | None = None


class OpenPart:
    """A part under way: what its frames said, and the worst of them, the first of equal ones.

    The worst is the one of the worst verdict, and among those of the highest `pred_score`, where each detector's own
    threshold is 0.5: another detector may have taken over within the part, and its raw scores are another scale. Where
    that scale ends raw scores decide, of the same bundle alone.
    """

    def __init__(self, name: str, begun: float) -> None:
        self.name, self.begun = name, begun
        self.lost = 0
        self._counts: Counter[Verdict] = Counter()
        self._ids: tuple[int, int] = (0, 0)
        self._worst: tuple[float, Result, Frame] | None = None

    @property
    def judged(self) -> int:
        """How many frames have a verdict."""
        return self._counts.total()

    def add(self, result: Result, score: float, frame: Frame) -> None:
        """One more frame. score: in raw units, of what the rules left of it."""
        self._ids = (self._ids[0] if self.judged else frame.frame_id, frame.frame_id)
        self._counts[result.verdict] += 1
        if self._worst is None or _is_worse(result, score, self._worst[1], self._worst[0]):
            self._worst = (score, result, frame)

    def close(self, rule: PartRule) -> tuple[Result, Frame] | str:
        """The part's one verdict, with the frame that speaks for it; or why it has none."""
        if self._worst is None:
            seen = f"its {self.lost} frames were lost" if self.lost else "no frame of it was judged"
            return f"part {self.name} has no verdict: {seen}"
        _, result, frame = self._worst
        rejected, warned = self._counts[Verdict.REJECT], self._counts[Verdict.WARN]
        part = Part(self.name, self.judged, rejected, warned, self.lost, *self._ids, self.begun)
        verdict = rule.verdict(self._counts)
        return replace(result, verdict=verdict, pred_label=verdict is Verdict.REJECT, part=part), frame


def _is_worse(result: Result, score: float, than: Result, its_score: float) -> bool:
    """Whether a frame speaks for a part rather than an earlier one does."""
    rank, its_rank = ((-WORST_FIRST.index(of.verdict), of.pred_score) for of in (result, than))
    return rank > its_rank or (rank == its_rank and result.bundle == than.bundle and score > its_score)
