"""Debian's PyGObject and its GStreamer, lent to this Python where its version is the same."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from edgead.errors import SourceError
from edgead.sources.appsink import gstreamer

DEBIAN = Path("/usr/lib/python3/dist-packages/gi")


def lend(folder: Path, monkeypatch: pytest.MonkeyPatch, *elements: str) -> Any:
    """The module Gst; the test is skipped where it, or an element, is not there. folder: an empty one."""
    if importlib.util.find_spec("gi") is None:
        tag = sys.implementation.cache_tag
        if not any(tag in path.name for path in DEBIAN.glob("_gi.*.so")):
            pytest.skip("there is no PyGObject for this Python: apt-get install python3-gi")
        (folder / "gi").symlink_to(DEBIAN)
        monkeypatch.syspath_prepend(folder)
    try:
        gst = gstreamer("tests")
    except SourceError:
        pytest.skip("there is no GStreamer: apt-get install gir1.2-gstreamer-1.0")
    for element in elements:
        if gst.ElementFactory.find(element) is None:
            pytest.skip(f"GStreamer has no {element}: apt-get install gstreamer1.0-plugins-{{base,good,bad,ugly}}")
    return gst
