"""What is said when the scene or the scores are no longer those of before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from edgead.frame import Frame
from edgead.result import Result


@dataclass(frozen=True)
class Change:
    """One warning, said once until what changed is back.

    what: `brightness`, `contrast`, `focus`, `shift` or `scores`. text: what changed and by how much, for people. value,
    usual: the measure now and as it was, in its own unit. frame_id, source, captured_at: the frame at which it was
    noticed.
    """

    what: str
    text: str
    value: float
    usual: float
    frame_id: int
    source: str
    captured_at: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Observer(Protocol):
    """Looks at every judged frame of one camera, and at what the detector alone said of it."""

    def observe(self, frame: Frame, result: Result) -> Sequence[Change]:
        """One more frame -> what is different from now on, mostly nothing."""
