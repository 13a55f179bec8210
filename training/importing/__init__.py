"""Checkpoints of authors' code, turned into training runs."""

from __future__ import annotations

from edgead.training.importing.options import ImportOptions
from edgead.training.importing.run import Imported, import_uniad

__all__ = ["ImportOptions", "Imported", "import_uniad"]
