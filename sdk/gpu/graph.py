"""Work that was queued once and is launched as one: a CUDA graph.

pycuda has no graphs. They take six functions of the driver, called here on the handle of pycuda's stream.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

from edgead.errors import EngineError
from edgead.gpu.stream import Stream

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on using the device meanwhile
_WHERE = "gpu"


@functools.cache
def _library() -> ctypes.CDLL:
    """The driver. pycuda has loaded it already, under this name."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise EngineError(f"the CUDA driver does not load ({error})", _WHERE, "check `nvidia-smi`") from error


def _call(name: str, *arguments: object) -> None:
    function = getattr(_library(), name, None)
    if function is None:
        raise EngineError(f"the CUDA driver has no {name}", _WHERE, "install a driver of CUDA 11.4 or newer")
    if status := function(*arguments):
        raise EngineError(f"{name} failed (CUDA error {status})", _WHERE, "start the engine again")


class Graph:
    """An executable graph. It keeps the addresses that its work was queued with."""

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self._handle = handle

    def launch(self, stream: Stream) -> None:
        """Queue the whole of it on a stream."""
        _call("cuGraphLaunch", self._handle, ctypes.c_void_p(stream.handle))

    def close(self) -> None:
        _call("cuGraphExecDestroy", self._handle)


def capture(stream: Stream, queue: Callable[[], None]) -> Graph:
    """The graph of what `queue` puts on `stream`; nothing of it is done yet.

    Raises EngineError where the work cannot be captured. The stream is as before, whatever happens.
    """
    handle, graph, executable = ctypes.c_void_p(stream.handle), ctypes.c_void_p(), ctypes.c_void_p()
    _call("cuStreamBeginCapture_v2", handle, _THREAD_LOCAL)
    try:
        queue()
    except Exception as error:
        _library().cuStreamEndCapture(handle, ctypes.byref(graph))  # it fails, and ends the capture
        if graph:
            _call("cuGraphDestroy", graph)
        raise EngineError(f"the work cannot be captured ({error})", _WHERE) from error
    _call("cuStreamEndCapture", handle, ctypes.byref(graph))
    try:
        _call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
    finally:
        _call("cuGraphDestroy", graph)
    return Graph(executable)
