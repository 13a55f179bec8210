"""What people see of a run that goes on."""

from __future__ import annotations

import shutil
import sys
import time

import click

from edgead.drift import Change
from edgead.frame import LostFrame
from edgead.result import Result
from edgead.summary import Summary
from edgead.verdicts.parts import PartFault

SHOW_SECONDS = 0.5


class Terminal:
    """What people see on standard error while a run goes on: lost frames, and a live line where it is a terminal.

    A terminal that goes away ends nothing but this.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._shown = 0.0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._say("", end="")

    def lost(self, lost: LostFrame) -> None:
        """Say that a frame was lost, or that a part has no verdict."""
        what = "at frame" if isinstance(lost, PartFault) else "lost frame"
        self._say(f"{what} {lost.frame_id} of {lost.source}: {lost.reason}")

    def changed(self, change: Change) -> None:
        """Say that the scene or the scores changed."""
        self._say(f"warning: at frame {change.frame_id} of {change.source} {change.text}")

    def verdict(self, result: Result, summary: Summary) -> None:
        """Renew the live line, at most twice a second."""
        if self._live and time.monotonic() - self._shown >= SHOW_SECONDS:
            counts = ", ".join(f"{count} {verdict.value}" for verdict, count in summary.verdicts.items())
            what = f"part {result.part.name}" if result.part else f"frame {result.frame_id}"
            verdict = f"{what}: {result.verdict.value} {result.pred_score:.3f}"
            line = f"{verdict}  |  {counts}  |  {summary.rate:.1f}/s"
            self._say(line[: shutil.get_terminal_size().columns - 1], end="")
            self._shown = time.monotonic()

    def _say(self, text: str, end: str = "\n") -> None:
        if self._quiet:
            return
        try:
            click.echo(("\r\x1b[2K" if self._live else "") + text + end, err=True, nl=False)
        except OSError:
            self._quiet, self._live = True, False
