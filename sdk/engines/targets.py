"""The runtimes an engine can be for, and which of them this machine can use, with reasons."""

from __future__ import annotations

from dataclasses import dataclass

from edgead.engines import openvino, tensorrt
from edgead.errors import EngineUnavailable

TARGETS = ("tensorrt", "tensorrt-rtx", "openvino")  # in the order that `auto` tries


@dataclass(frozen=True)
class Candidate:
    """A target and why it cannot run an engine here; no reason means that it can."""

    target: str
    reason: str | None


def candidates() -> tuple[Candidate, ...]:
    """Every target in the order of preference."""
    return (
        Candidate("tensorrt", tensorrt.unavailable("tensorrt")),
        Candidate("tensorrt-rtx", tensorrt.unavailable("tensorrt-rtx")),
        Candidate("openvino", openvino.unavailable()),
    )


def choose(target: str = "auto") -> str:
    """The target to run on: the one asked for, or with `auto` the first that can run here.

    Raises EngineUnavailable with the reason of each candidate that was skipped.
    """
    asked = [c for c in candidates() if target in ("auto", c.target)]
    if not asked:
        raise EngineUnavailable(f"no target {target!r}", "engines", f"choose auto, {', '.join(TARGETS)}")
    usable = [c for c in asked if c.reason is None]
    if not usable:
        reasons = "; ".join(f"{c.target}: {c.reason}" for c in asked)
        raise EngineUnavailable(f"no engine can run here ({reasons})", target, "`edgead doctor` tells what is missing")
    return usable[0].target
