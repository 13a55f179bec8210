"""The options of the commands that quantise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from edgead.calibration.calibration_set import SIZE
from edgead.calibration.quantize import MAX_LAYER_ERROR, METHODS
from edgead.calibration.selection import SELECTIONS
from edgead.cli.options import Number, dataclass_options, take_options
from edgead.export.trials import AUTO
from edgead.export.verification.gate import Budget

budget_options = dataclass_options(Budget)

_OPTIONS = {
    "method": click.option(
        "--method",
        type=click.Choice((*METHODS, AUTO)),
        default="minmax",
        show_default=True,
        help="How INT8 ranges are found: all that was seen (minmax), the least loss of information (entropy), 99.99 % "
        "of the values (percentile), the least squared error (mse), or all of them tried on the "
        "held-out images, of many on half, the others judging (auto).",
    ),
    "max_layer_error": click.option(
        "--max-layer-error",
        type=Number(0, above=True, infinite=True),
        default=MAX_LAYER_ERROR,
        show_default=True,
        help="A layer whose answer INT8 alone changes by more than this share stays in float; inf: none does.",
    ),
    "keep_float": click.option(
        "--keep-float",
        multiple=True,
        metavar="LAYER",
        help="A layer that shall not compute in INT8, repeatable, also as a pattern: 'node_conv2d_*'.",
    ),
    "keep_int8": click.option(
        "--keep-int8",
        multiple=True,
        metavar="LAYER",
        help="A layer that shall compute in INT8, whatever that changes of its answer, and that no search takes out; "
        "likewise repeatable, or a pattern.",
    ),
    "select": click.option(
        "--select",
        type=click.Choice(SELECTIONS),
        default="random",
        show_default=True,
        help="How calibration images are chosen: stratified, as many of each class; coreset, so that every image is "
        "like one of them, as the detector sees it.",
    ),
    "calibration_size": click.option(
        "--calib-size",
        "--size",
        "calibration_size",
        type=click.IntRange(min=1),
        default=SIZE,
        show_default=True,
        help="Calibration images; all where there are fewer.",
    ),
}


QUANTISING = tuple(_OPTIONS)
"""The parameters that say how INT8 comes about."""


def quantising_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of the budget, and of how INT8 comes about; the command gets them as `quantising`, fields of
    BuildOptions by name."""

    @functools.wraps(function)
    def command(*arguments: Any, **named: Any) -> Any:
        chosen = {name: named.pop(name) for name in _OPTIONS}
        budget = Budget(**take_options(Budget, named))
        return function(*arguments, quantising={**chosen, "budget": budget}, **named)

    decorated: Callable[..., Any] = command
    for option in reversed(_OPTIONS.values()):
        decorated = option(decorated)
    return budget_options(decorated)
