"""What the JSON of a table and that of a figure have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgead.experiments.cells.record import Record
from edgead.experiments.reading.config import Experiment
from edgead.experiments.showing.facts import Fact


def document(
    experiment: Experiment, facts: Sequence[Fact], records: Sequence[Record], cells: tuple[int, int], *, fast: bool
) -> dict[str, Any]:
    """The experiment, how it was done, and the record of every cell that is done. cells: how many are, of how many."""
    done, planned = cells
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "source": dict(vars(experiment.source)),
        "seeds": list(experiment.seeds),
        "fast": fast,
        "facts": [fact.to_json() for fact in facts],
        "notes": list(experiment.notes),
        "cells_done": done,
        "cells_planned": planned,
        "cells": [record.to_json() for record in records],
    }
