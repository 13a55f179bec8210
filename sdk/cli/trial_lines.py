"""What each method of calibration gave, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COLUMNS = {
    "image AUROC": ("image_auroc", ".4f"),
    "pixel AUROC": ("pixel_auroc", ".4f"),
    "AUPRO": ("aupro", ".4f"),
    "map error": ("map_error", ".2%"),
    "rank correlation": ("rank_correlation", ".4f"),
    "cost": ("cost", ".4f"),
}


def trial_lines(calibration: Mapping[str, Any]) -> list[str]:
    """A line for each trial under one of heads; none where nothing was tried.

    calibration: `method`, the one kept, and `trials`, as calibration.json has them.
    """
    if not calibration["trials"]:
        return []
    lines = [f"  {'method':<10}  {'  '.join(_COLUMNS)}"]
    for trial in calibration["trials"]:
        told = f"refused: {trial['refused']}" if "refused" in trial else _cells(trial)
        kept = "  <- kept" if trial["method"] == calibration["method"] else ""
        lines.append(f"  {trial['method']:<10}  {told}{kept}")
    return lines


def _cells(trial: Mapping[str, Any]) -> str:
    flat = {**trial, **trial["metrics"]}
    values = {head: (flat[name], form) for head, (name, form) in _COLUMNS.items()}
    return "  ".join(
        f"{'-' if value is None else format(value, form):>{len(head)}}" for head, (value, form) in values.items()
    )
