"""The options of commands that build for TensorRT."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from edgead.export.plan_options import HARDWARE, PlanOptions

_POSITIVE = click.IntRange(min=1)
_OPTIONS = {
    "min_batch": click.option(
        "--min-batch",
        type=_POSITIVE,
        default=1,
        show_default=True,
        help="Images that the engine takes at least; a stream needs 1.",
    ),
    "opt_batch": click.option(
        "--opt-batch",
        type=_POSITIVE,
        help="Images that the engine is tuned for; by default as many as --min-batch. It takes the bundle's at most.",
    ),
    "workspace": click.option(
        "--workspace", type=_POSITIVE, metavar="MIB", help="Scratch memory at most; by default the library decides."
    ),
    "optimization_level": click.option(
        "--optimization-level",
        type=click.IntRange(0, 5),
        help="0 builds fastest, 5 searches longest for a fast engine; by default the library decides.",
    ),
    "compute_capabilities": click.option(
        "--compute-capability",
        "compute_capabilities",
        multiple=True,
        metavar="X.Y",
        help="A GPU to build for, repeatable (tensorrt-rtx only), such as 8.6.",
    ),
    "tf32": click.option("--tf32", is_flag=True, help="Round the operands of float32 products to 10 bits: faster."),
    "plugins": click.option(
        "--plugins/--no-plugins", default=True, show_default=True, help="Run edgead's own operators as plugins."
    ),
    "dla": click.option(
        "--dla",
        type=click.IntRange(min=0),
        metavar="CORE",
        help="Run on this deep learning accelerator of a Jetson what it can, and the rest on the GPU.",
    ),
    "hardware_compatibility": click.option(
        "--hardware-compatibility",
        type=click.Choice(HARDWARE),
        help="Other GPUs that may run the engine (tensorrt only).",
    ),
    "version_compatible": click.option(
        "--version-compatible", is_flag=True, help="Newer TensorRT may run the engine too (tensorrt only)."
    ),
    "strip_weights": click.option(
        "--strip-weights",
        is_flag=True,
        help="Leave the weights out of the engine; it takes them from the bundle's graph when it is loaded.",
    ),
    "refit": click.option("--refit", is_flag=True, help="The engine takes other weights later, without a new build."),
}


def plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of TensorRT's builder; the command gets them as `plan`, a PlanOptions."""

    @functools.wraps(function)
    def command(*arguments: Any, **named: Any) -> Any:
        chosen = {name: named.pop(name) for name in _OPTIONS}
        return function(*arguments, plan=PlanOptions(**chosen), **named)

    decorated: Callable[..., Any] = command
    for option in reversed(_OPTIONS.values()):
        decorated = option(decorated)
    return decorated
