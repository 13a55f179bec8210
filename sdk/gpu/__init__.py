"""CUDA from Python, as much as an engine and the pipeline around it need.

Whoever touches the device does so inside `current`, in any thread: a context belongs to a thread. Streams, events,
memory and graphs are made and given back there too.
"""

from edgead.gpu.driver import Device, current, describe, unavailable
from edgead.gpu.graph import Graph, capture
from edgead.gpu.memory import Buffer, Memory
from edgead.gpu.stream import Event, Stream

__all__ = ["Buffer", "Device", "Event", "Graph", "Memory", "Stream", "capture", "current", "describe", "unavailable"]
