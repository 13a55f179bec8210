"""What is here, what each engine needs, and why one was skipped."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any

from edgead import __version__
from edgead.engines.cache import cache_folder
from edgead.engines.plugins import PLUGINS
from edgead.engines.targets import candidates
from edgead.errors import EdgeadError
from edgead.kernels import library

PACKAGES = {
    "base": ("numpy", "opencv-python-headless", "openvino", "click", "rich", "jsonschema"),
    "train": ("torch", "lightning", "torchmetrics", "onnx", "onnxscript", "onnxruntime", "safetensors"),
    "web": ("starlette", "uvicorn", "prometheus-client"),
    "mqtt": ("paho-mqtt",),
    "gpio": ("gpiod",),
    "tensorrt": ("tensorrt", "pycuda"),
    "tensorrt-rtx": ("tensorrt-rtx-cu13-libs", "tensorrt-rtx-cu13-bindings"),
}
"""Extra -> the packages that it installs."""


def examine() -> dict[str, Any]:
    """JSON-ready facts about this machine. Imports none of the packages that it reports."""
    return {
        "edgead": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
        "native": _native(),
        "packages": {extra: {name: _version(name) for name in names} for extra, names in PACKAGES.items()},
        "engines": [{"target": c.target, "runs": c.reason is None, "reason": c.reason} for c in candidates()],
        "default_engine": next((c.target for c in candidates() if c.reason is None), None),
        "cache": {"folder": str(cache_folder()), "engines": _cached()},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _native() -> dict[str, str | None]:
    """Where each library of the native build is, and why it does not work here."""
    try:
        library.load()
        fault = None
    except EdgeadError as error:
        fault = str(error)
    paths = {"library": "libedgead.so", "cuda": "libedgead_cuda.so", "plugins": PLUGINS}
    found = {name: str(path) if (path := library.find(file)) else None for name, file in paths.items()}
    return {**found, "fault": fault, "cuda_fault": library.why_not_cuda() if found["cuda"] else None}


def _cached() -> int:
    folder = cache_folder()
    return len(list(folder.glob("*.engine"))) if folder.is_dir() else 0
