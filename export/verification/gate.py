"""The gate: what an engine may lose against the fp32 graph, and the refusal of one that loses more."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from edgead.errors import GateRefused
from edgead.export.verification.comparison import Comparison

MENDS = (
    "build with --precision mixed, which keeps layers in float until the budget is met, or fp16; "
    "calibrate with more or other images; or raise the budget"
)


def _allowed(default: float, text: str, least: float = 0, most: float | None = None) -> float:
    allowed: float = field(default=default, metadata={"help": text, "range": (least, most)})
    return allowed


@dataclass(frozen=True)
class Budget:
    """What an engine may lose. Of a handful of images a single one weighs more than any budget: a single pair of a good
    and a bad image in the other order, and a single changed verdict, are always allowed."""

    max_drop: float = _allowed(0.005, "The image AUROC that the engine may lose; more is refused (exit code 3).")
    max_pixel_drop: float = _allowed(0.002, "The pixel AUROC that it may lose.")
    max_aupro_drop: float = _allowed(0.01, "The AUPRO that it may lose.")
    max_map_error: float = _allowed(
        0.3, "The root mean square of the maps' difference, as a share of the fp32 maps' standard deviation."
    )
    max_changed: float = _allowed(0.05, "The share of verdicts that may change.", most=1)
    min_correlation: float = _allowed(
        0.8, "Where no bad parts were photographed: the rank correlation that good parts' scores have to keep.", -1, 1
    )

    def faults(self, comparison: Comparison) -> list[str]:
        """Why an engine is refused; empty where it is not."""
        pairs = max(1, comparison.good * comparison.bad)
        limits = {
            "image_auroc": ("image AUROC", max(self.max_drop, 1 / pairs)),
            "pixel_auroc": ("pixel AUROC", self.max_pixel_drop),
            "aupro": ("AUPRO", self.max_aupro_drop),
        }
        where = " on painted defects" if comparison.painted else ""
        found = []
        for name, fall in comparison.falls().items():
            title, limit = limits[name]
            if not fall <= limit + 1e-9:  # 0.995 - 0.990 is more than 0.005 in binary
                before, after = getattr(comparison.reference, name), getattr(comparison.metrics, name)
                found.append(f"{title}{where} falls from {before:.4f} to {after:.4f} ({limit:.3g} allowed)")
        if comparison.map_error is not None and not comparison.map_error <= self.max_map_error:
            found.append(f"the map is off by {comparison.map_error:.0%} ({self.max_map_error:.0%} allowed)")
        allowed = max(1, round(self.max_changed * comparison.images))
        if comparison.changed_verdicts > allowed:
            found.append(f"{comparison.changed_verdicts} of {comparison.images} verdicts change ({allowed} allowed)")
        unlabelled = comparison.painted or not comparison.bad
        if unlabelled and not comparison.rank_correlation >= self.min_correlation:
            kept = f"{comparison.rank_correlation:.2f} ({self.min_correlation:.2f} at least)"
            found.append(f"the rank correlation of good parts' scores is {kept}")
        return found


def check_gate(comparison: Comparison, budget: Budget, what: str, *, todo: str = "") -> Comparison:
    """The comparison with its budget noted. Raises GateRefused, naming the images whose verdict changed most, where the
    budget is exceeded; todo: what to do then, in place of the usual."""
    faults = budget.faults(comparison)
    if faults:
        others = " on images that had no say in the choice" if comparison.chosen_apart else ""
        raise GateRefused(f"refused{others}: {'; '.join(faults)}{worst(comparison)}", what, todo or MENDS)
    return replace(comparison, budget=asdict(budget))


def worst(comparison: Comparison) -> str:
    """The images whose verdict changed most, as the end of a sentence; empty where none did."""
    return f"; verdicts that change first: {', '.join(comparison.changed[:5])}" if comparison.changed else ""
