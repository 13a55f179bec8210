"""The detector families by name. A family is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from edgead.errors import TrainingError
from edgead.training.models.base import Answer, DetectorModule, ModelOptions

FAMILIES = {
    "uniad": "Uniad",
    "adtr": "Adtr",
    "adtr-plus": "AdtrPlus",
    "leanet": "LeaNet",
    "colorizer": "Colorizer",
    "lamp": "Lamp",
    "baseline": "Baseline",
}
"""Family -> class, in the module of the family's name."""


def family(name: str) -> type[DetectorModule]:
    """The class of a family. Raises TrainingError for an unknown one."""
    if name not in FAMILIES:
        raise TrainingError(f"no detector {name!r}", "training", f"choose one of {', '.join(FAMILIES)}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    found: type[DetectorModule] = getattr(module, FAMILIES[name])
    return found


def build(name: str, options: Mapping[str, Any]) -> DetectorModule:
    """A model with random weights. Raises TrainingError for options that the family does not have."""
    kind = family(name)
    known = {entry.name for entry in fields(kind.Options)}
    foreign = sorted(set(options) - known)
    if foreign:
        raise TrainingError(
            f"{name} has no option {', '.join(foreign)}", "training", f"it has {', '.join(sorted(known))}"
        )
    return kind(kind.Options(**options))


__all__ = ["FAMILIES", "Answer", "DetectorModule", "ModelOptions", "build", "family"]
