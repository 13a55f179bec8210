"""Every method of calibration tried on images that set no range, and the one that keeps most of the detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgead.calibration.quantize import METHODS
from edgead.engines.base import Engine
from edgead.errors import CalibrationError, GateRefused
from edgead.export.verification.comparison import Comparison
from edgead.export.verification.gate import MENDS, Budget
from edgead.progress import Progress, silent

Quantised = Callable[[str, Progress], bytes]
"""The INT8 graph by a method of calibration."""
Compared = Callable[[bytes, Progress], Comparison]
"""An INT8 graph held against fp32 on held-out images."""
Run = Callable[[bytes, Progress], Engine]
"""The engine of a graph, to be entered."""

AUTO = "auto"
"""In place of a method: try them all."""
TIE = 1e-3
"""Costs that differ by less say nothing: with 40 good and 64 bad images it is the order of two pairs in 2560."""


@dataclass(frozen=True)
class Trial:
    """A method, the INT8 graph that it gave, and how that compares with fp32; or why there is none to compare."""

    method: str
    graph: bytes = b""
    comparison: Comparison | None = None
    refused: str = ""

    def faults(self, budget: Budget) -> list[str]:
        """Why it is out, whatever it costs; empty where it is not."""
        return [self.refused] if self.comparison is None else budget.faults(self.comparison)

    def to_json(self) -> dict[str, Any]:
        if self.comparison is None:
            return {"method": self.method, "refused": self.refused}
        found = self.comparison.to_json()
        told = ("images", "painted", "metrics", "map_error", "rank_correlation", "changed_verdicts")
        return {"method": self.method, "cost": cost(self.comparison), **{name: found[name] for name in told}}


def try_methods(quantised: Quantised, compared: Compared, progress: Progress = silent) -> tuple[Trial, ...]:
    """One trial for each method, in the order of `METHODS`. One whose graph is refused by either function
    (CalibrationError, GateRefused) is out, with the reason."""
    return tuple(_tried(method, quantised, compared, progress) for method in METHODS)


def _tried(method: str, quantised: Quantised, compared: Compared, progress: Progress) -> Trial:
    def named(what: str, done: int, total: int) -> None:
        progress(f"{method}: {what}", done, total)

    try:
        graph = quantised(method, named)
        return Trial(method, graph, compared(graph, named))
    except (CalibrationError, GateRefused) as refusal:
        return Trial(method, refused=refusal.what.removeprefix("refused: "))


def cost(comparison: Comparison) -> float:
    """What a method of calibration costs; the least is best.

    The largest fall of a metric that the gate looks at, of images or of pixels; a rise is luck and counts as none.
    Where the defects were only painted, 1 - the rank correlation of the good images' scores + the map's error are
    added: a detector that ranks good parts as before and draws the same map tells bad ones as before.
    """
    falls = max([0.0, *comparison.falls().values()])
    if comparison.bad and not comparison.painted:
        return falls
    return falls + 1 - comparison.rank_correlation + (comparison.map_error or 0.0)


def best(trials: Sequence[Trial], budget: Budget, what: str) -> Trial:
    """Of the trials that the gate lets pass, the one of least cost; min-max where it is within `TIE` of that, since it
    alone clips nothing.

    Raises GateRefused, with each method's reason, where none passes.
    """
    passing = [trial for trial in trials if not trial.faults(budget)]
    if not passing:
        reasons = "; ".join(f"{trial.method}: {', '.join(trial.faults(budget))}" for trial in trials)
        raise GateRefused(f"refused: by every method of calibration: {reasons}", what, MENDS)
    return cheapest(passing, what)


def cheapest(trials: Sequence[Trial], what: str) -> Trial:
    """Likewise of all trials, whatever the gate says. Raises GateRefused where none has a graph."""
    costs = [(trial, cost(trial.comparison)) for trial in trials if trial.comparison]
    if not costs:
        reasons = "; ".join(f"{trial.method}: {trial.refused}" for trial in trials)
        raise GateRefused(f"refused: by every method of calibration: {reasons}", what, "use fp16 or fp32")
    first, least = min(costs, key=lambda pair: pair[1])
    return next((trial for trial, found in costs if trial.method == "minmax" and found <= least + TIE), first)
