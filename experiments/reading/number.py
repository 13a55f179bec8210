"""A number of a table with its spread, as papers print it: "88.4 ± 4.5 (4)"."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

_DECIMAL = r"\d+(?:\.\d+)?"
_PRINTED = re.compile(rf"({_DECIMAL})(?: ± ({_DECIMAL}))?(?: \((\w+)\))?")


@dataclass(frozen=True)
class Number:
    """Percent. mean: of `count` values. spread: their sample standard deviation; None where it is not known, as for a
    single value. planned: how many values there should be. best: the value of the option that was tried and is best, or
    ""."""

    mean: float
    spread: float | None = None
    count: int = 1
    planned: int = 1
    best: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self, counted: bool) -> str:
        """With the papers' one decimal. In parentheses the best option, or, where it is `counted`, of how many values
        the spread is."""
        words = f"{self.mean:.1f}" if self.spread is None else f"{self.mean:.1f} ± {self.spread:.1f}"
        if self.best:
            words += f" ({self.best})"
        elif counted and self.count > 1:
            words += f" ({self.count})"
        return words if self.count >= self.planned else f"{words} [{self.count} of {self.planned}]"


def published(text: str) -> Number:
    """A number as a paper prints it: "88.4", "88.4 ± 4.5", "88.4 ± 4.5 (4)", where the last is the best option. Raises
    ValueError for any other text, and where the mean is above 100."""
    found = _PRINTED.fullmatch(text)
    if not found or float(found[1]) > 100:
        raise ValueError(text)
    return Number(float(found[1]), float(found[2]) if found[2] else None, best=found[3] or "")


def summary(values: Sequence[float], planned: int = 1, best: str = "") -> Number | None:
    """The mean of some values and their sample standard deviation; None where there are none."""
    if not values:
        return None
    count, mean = len(values), math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1)) if count > 1 else None
    return Number(mean, spread, count, planned, best)
