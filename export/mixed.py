"""Mixed precision: the fewest layers in float that keep a detector within its budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgead.errors import GateRefused
from edgead.export.verification.comparison import Comparison
from edgead.export.verification.gate import Budget, worst

MENDS = "use fp16 or fp32, calibrate with more or other images, or raise the budget"
Compared = Callable[[frozenset[str]], Comparison]
"""The detector with these layers in float, beside the fp32 graph."""


def fewest_floats(order: Sequence[str], compared: Compared, budget: Budget, what: str) -> frozenset[str]:
    """Which of the layers `order`, the costliest first, to keep in float.

    The number doubles until the budget is met and is then halved between; last, each layer that is kept goes back to
    INT8 where the budget is met without it too, the least costly first. That is exact where keeping more layers never
    costs more, and close where a layer's error happens to cancel another's: a search of every subset would take 2^n
    detectors, this one takes about 2 log2(k) + k.

    Raises GateRefused where not even all but one in float are enough.
    """
    known: dict[frozenset[str], Comparison] = {}

    def faults(kept: frozenset[str]) -> list[str]:
        if kept not in known:
            known[kept] = compared(kept)
        return budget.faults(known[kept])

    def first(count: int) -> frozenset[str]:
        return frozenset(order[:count])

    low, high = 0, 0  # `low` is not enough, `high` is, once the loop has ended
    while faults(first(high)):
        if high >= len(order) - 1:
            reasons = "; ".join(faults(first(high))) + worst(known[first(high)])
            raise GateRefused(f"refused: with {high} of {len(order)} layers in float: {reasons}", what, MENDS)
        low, high = high, min(max(1, 2 * high), len(order) - 1)
    while high - low > 1:
        middle = (low + high) // 2
        if faults(first(middle)):
            low = middle
        else:
            high = middle
    kept = first(high)
    for name in reversed(order[:high]):
        if not faults(kept - {name}):
            kept -= {name}
    return kept
