"""What INT8 costs each layer, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def layer_table(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines, the costliest layer first. layers: rows of a table as calibration records and `edgead sensitivity` have
    them, each with the reason for which it keeps float, if it does."""
    ordered = sorted(layers, key=lambda layer: -(layer["map_error"] or layer["rounding"]))
    wide = max([5, *(len(layer["name"]) for layer in layers)])
    kinds = max([4, *(len(layer["kind"]) for layer in layers)])
    modules = max([6, *(len(layer["module"]) for layer in layers)])
    head = f"{'layer':<{wide}}  {'module':<{modules}}  {'kind':<{kinds}}  {'weights':>9}  its answer  the map"
    lines = [head]
    for layer in ordered:
        error = "-" if layer["map_error"] is None else f"{layer['map_error']:.2%}"
        reason = layer.get("float")
        named = f"{layer['name']:<{wide}}  {layer['module']:<{modules}}"
        line = f"{named}  {layer['kind']:<{kinds}}  {layer['weights']:>9}  {layer['rounding']:>10.2%}"
        lines.append(f"{line}  {error:>7}" + (f"  float: {reason}" if reason else ""))
    return lines
