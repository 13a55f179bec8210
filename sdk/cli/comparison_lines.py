"""An engine beside its reference, in lines for people."""

from __future__ import annotations

from edgead.export.verification.comparison import Comparison

_TITLES = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}


def comparison_lines(comparison: Comparison, reference: str = "fp32") -> list[str]:
    """What was compared on what, and how each metric stands. reference: what it was compared with."""
    where = f"verified on {comparison.target}"
    if comparison.emulated:
        where += " (emulated: the target cannot run here)"
    error = "" if comparison.map_error is None else f"map off by {comparison.map_error:.1%}, "
    lines = [f"  {where}: {comparison.images} images, {error}{comparison.changed_verdicts} verdicts changed"]
    if comparison.chosen_by:
        lines.append(_chosen(comparison))
    if comparison.painted:
        lines.append(f"  no bad parts among the images: {comparison.bad} have painted defects")
        lines.append(f"  rank correlation of the good parts' scores {comparison.rank_correlation:.3f}")
    for name in comparison.falls():
        before, after = getattr(comparison.reference, name), getattr(comparison.metrics, name)
        lines.append(f"  {_TITLES[name]} {after:.4f} ({reference} {before:.4f})")
    return lines


def _chosen(comparison: Comparison) -> str:
    if comparison.chosen_apart:
        return f"  chosen by {comparison.chosen_by} other images, which these figures leave out"
    return "  chosen by the same images, too few to keep half of them for these figures: expect a little less"
