"""The options of the commands that quantise."""

from __future__ import annotations

import click

from edgead.calibration.calibration_set import SIZE
from edgead.calibration.quantize import MAX_LAYER_ERROR, METHODS
from edgead.calibration.selection import SELECTIONS
from edgead.cli.options import dataclass_options
from edgead.export.trials import AUTO
from edgead.export.verification.gate import Budget

method_option = click.option(
    "--method",
    type=click.Choice((*METHODS, AUTO)),
    default="minmax",
    show_default=True,
    help="How INT8 ranges are found: all that was seen (minmax), the least loss of information (entropy), 99.99 % of "
    "the values (percentile), the least squared error (mse), or all of them tried on held-out images (auto).",
)
layer_error_option = click.option(
    "--max-layer-error",
    type=click.FloatRange(min=0, min_open=True),
    default=MAX_LAYER_ERROR,
    show_default=True,
    help="A layer whose answer INT8 alone changes by more than this share stays in float; inf: none does.",
)
keep_float_option = click.option(
    "--keep-float",
    multiple=True,
    metavar="LAYER",
    help="A layer that shall not compute in INT8, repeatable, also as a pattern: 'node_conv2d_*'.",
)
keep_int8_option = click.option(
    "--keep-int8",
    multiple=True,
    metavar="LAYER",
    help="A layer that shall, whatever INT8 changes of its answer, and that no search takes out.",
)
budget_options = dataclass_options(Budget)
select_option = click.option(
    "--select",
    type=click.Choice(SELECTIONS),
    default="random",
    show_default=True,
    help="How calibration images are chosen: stratified, as many of each class; coreset, so that every image is like "
    "one of them, as the detector sees it.",
)
size_option = click.option(
    "--calib-size",
    "--size",
    "calib_size",
    type=click.IntRange(min=1),
    default=SIZE,
    show_default=True,
    help="Calibration images; all where there are fewer.",
)
