"""`--show`: a window with the live view of a stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgead.sinks.view.heat import Heat
    from edgead.sinks.view.window import WindowSink

Function = TypeVar("Function", bound=Callable[..., Any])


def show_option(function: Function) -> Function:
    """The option; the command gets it as `show_window`."""
    return click.option(
        "--show",
        "show_window",
        is_flag=True,
        help="Show the line in a window. F fills the screen, Escape leaves that, Q or closing it ends the run.",
    )(function)


def open_window(
    show: bool, stop: threading.Event, *, title: str = "edgead", cameras: Sequence[str] = (), heat: Heat | None = None
) -> WindowSink | None:
    """The window that the option asks for, None without it. stop: what ends the run. cameras: the sources' names."""
    if not show:
        return None
    from edgead.sinks.view.window import WindowSink

    return WindowSink(stop, cameras=cameras if len(cameras) > 1 else (), title=title, scale=heat)
