"""TensorRT's plugins for the operators of the ONNX domain `edgead`: the library of the native build."""

from __future__ import annotations

import ctypes
import hashlib

from edgead.kernels import library

NAMESPACE = "edgead"  # the plugins' and the ONNX domain
OPERATORS = ("NeighborMaskedAttention", "CIEDE2000")
PLUGINS = "libedgead_plugins.so"
# As soon as a plugin is registered, the parser of TensorRT for RTX opens `libtensorrt_rtx.so`, and ends the process
# where that is not found. Its wheel has a libtensorrt_rtx.so.1 alone. This library bears the name, and passes on what
# the other one has.
RTX_NAME = "libedgead_tensorrt_rtx.so"


def unavailable(target: str, version: str) -> str | None:
    """Why operators do not run as plugins with this version of `tensorrt` or `tensorrt-rtx`, or None."""
    path = library.find(PLUGINS)
    if path is None or (target == "tensorrt-rtx" and library.find(RTX_NAME) is None):
        return f"{PLUGINS} was not built"
    try:
        built = int(ctypes.CDLL(str(path)).edgead_plugins_tensorrt())
    except (OSError, AttributeError) as error:
        return f"{PLUGINS} does not load ({error})"
    # TensorRT for RTX has numbers of its own, and since 1.7 at the latest what a plugin meets is as in TensorRT 11.
    if built != int(version.split(".")[0]) and not (target == "tensorrt-rtx" and built >= 11):
        return f"{PLUGINS} was built for TensorRT {built}"
    return None


def engine_options(target: str, version: str, graph: bytes) -> dict[str, str]:
    """What the key of an engine says of plugins: which library it was built with, if the graph has an operator for
    it."""
    path = library.find(PLUGINS)
    if path is None or not any(name.encode() in graph for name in OPERATORS) or unavailable(target, version):
        return {}
    return {"plugins": hashlib.sha256(path.read_bytes()).hexdigest()}
