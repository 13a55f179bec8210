"""The experiments that come with edgead, by name."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from edgead.errors import DataError


def shipped() -> list[str]:
    """Their names."""
    folder = importlib.resources.files("edgead.experiments")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def find_experiment(name: str) -> Path:
    """The file that is meant by a path or by the name of a shipped one. Raises DataError where there is none."""
    if name in shipped():
        return Path(str(importlib.resources.files("edgead.experiments") / f"{name}.toml"))
    if Path(name).suffix != ".toml" and not Path(name).exists():
        raise DataError("there is no such experiment", name, f"give a .toml file, or one of {', '.join(shipped())}")
    return Path(name)
