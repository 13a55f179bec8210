"""What a reader has to know before the numbers: how they were summarised, and how much of the work is behind them."""

from __future__ import annotations

from edgead.experiments.showing.figures import Figure
from edgead.experiments.showing.tables import Table


def summarised(table: Table) -> str:
    """What the numbers are."""
    experiment, parts = table.experiment, ["Percent."]
    seeds = len(experiment.seeds)
    if experiment.folds:
        over = f"{experiment.folds} folds" + (f" and {seeds} seeds" if seeds > 1 else "")
        parts.append(f"Mean ± sample standard deviation over {over}.")
    elif seeds > 1:
        parts.append("Mean ± sample standard deviation over (so many) seeds.")
    options = " or ".join(dict.fromkeys(one.option for one in table.tried))
    lines = (*table.lines, *table.means)
    if options and any(number and number.best for line in lines for number in line.measured.values()):
        parts.append(f"In parentheses the best {options} of those that were tried.")
    elif options and any(number and number.best for line in lines for number in line.published.values()):
        parts.append(f"In parentheses the paper's best {options}.")
    return " ".join(parts)


def extent(found: Table | Figure) -> str:
    """Whether it is a fast run, and how many cells are done, if not all; "" for a whole one."""
    done, planned = found.cells
    fast = "A fast run: no measure of the method." if found.fast else ""
    missing = f"{done} of {planned} cells are done." if done < planned else ""
    return " ".join(filter(None, (fast, missing)))
