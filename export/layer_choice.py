"""Which layers of a detector compute in INT8, and why each of the others does not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from edgead.calibration.quantize import Quantiser
from edgead.errors import CalibrationError
from edgead.export.options import BuildOptions

ASKED = "asked for"
BUDGET = "the budget"


def floats_by_rule(quantiser: Quantiser, options: BuildOptions) -> dict[str, str]:
    """Layers that keep float whatever a search finds, with the reason: those asked for, and those whose answer INT8
    changes by more than is allowed and that were not asked for in INT8.

    Raises CalibrationError for a pattern that no layer has, a layer that is asked for in both, and where no layer is
    left for INT8.
    """
    names = quantiser.layers
    asked, refused = (matching(patterns, quantiser.modules) for patterns in (options.keep_float, options.keep_int8))
    both = sorted(asked & refused)
    if both:
        raise CalibrationError(f"{both[0]} is asked for in float and in INT8", "calibration", "ask for one of them")
    found = {
        name: f"INT8 changes its answer by {rounding.error:.2f}"
        for name, rounding in quantiser.roundings.items()
        if not rounding.error <= options.max_layer_error and name not in refused
    }
    found |= dict.fromkeys(asked, ASKED)
    if len(found) == len(names):
        limit = options.max_layer_error
        what = f"no layer is left for INT8: it changes every layer by more than {limit}, or they are asked for in float"
        raise CalibrationError(what, "calibration", "use fp16, or allow more")
    return found


def matching(patterns: Iterable[str], modules: Mapping[str, str]) -> frozenset[str]:
    """The layers that one of the patterns fits by name or by module, as shells match files. modules: by name; empty
    where it is not known. Raises CalibrationError for a pattern that fits none."""
    found: set[str] = set()
    for pattern in patterns:
        fits = {name for name, module in modules.items() if fnmatchcase(name, pattern) or fnmatchcase(module, pattern)}
        if not fits:
            known = sorted({*modules, *modules.values()} - {""})
            near = difflib.get_close_matches(pattern, known, 3, 0.4) or known[:3]
            todo = f"`edgead sensitivity` lists the layers; near it are {', '.join(near)}"
            raise CalibrationError(f"no layer that can read INT8 is called {pattern!r}", "calibration", todo)
        found |= fits
    return frozenset(found)
