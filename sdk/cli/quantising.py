"""The options of the commands that quantise."""

from __future__ import annotations

import click

from edgead.calibration.quantize import MAX_LAYER_ERROR, METHODS

method_option = click.option(
    "--method",
    type=click.Choice(tuple(METHODS)),
    default="minmax",
    show_default=True,
    help="How INT8 ranges are found.",
)
layer_error_option = click.option(
    "--max-layer-error",
    type=click.FloatRange(min=0, min_open=True),
    default=MAX_LAYER_ERROR,
    show_default=True,
    help="A layer whose answer INT8 alone changes by more than this share stays in float; inf: none does.",
)
