"""edgead: from photos of good parts to a verdict on every camera frame.

    import edgead

    detector = edgead.load("part.edgead")
    result = detector(frame)

Names are loaded when they are first used, so that `import edgead` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgead.bundle import Bundle, read_bundle
    from edgead.detector import Detector
    from edgead.errors import EdgeadError
    from edgead.frame import Frame, LostFrame
    from edgead.live import LiveDetector
    from edgead.loading import load
    from edgead.result import Region, Result, Verdict
    from edgead.sinks import open_sink
    from edgead.sources import open_source
    from edgead.streaming import stream

__version__ = "0.1.0"

_HOME = {
    "Bundle": "bundle",
    "Detector": "detector",
    "EdgeadError": "errors",
    "Frame": "frame",
    "LiveDetector": "live",
    "LostFrame": "frame",
    "Region": "result",
    "Result": "result",
    "Verdict": "result",
    "load": "loading",
    "open_sink": "sinks",
    "open_source": "sources",
    "read_bundle": "bundle",
    "stream": "streaming",
}

__all__ = [
    "Bundle",
    "Detector",
    "EdgeadError",
    "Frame",
    "LiveDetector",
    "LostFrame",
    "Region",
    "Result",
    "Verdict",
    "__version__",
    "load",
    "open_sink",
    "open_source",
    "read_bundle",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgead' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"edgead.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
