"""CUDA without a GPU: a stand-in for pycuda's driver, for the driver's graphs, and for the streams of our own kernels.

Device memory is host memory. What is queued runs at once, or as late as CUDA allows it: then a stream runs when
somebody waits for it, and an event that is missing makes a difference. The kernels are the real ones, compiled for the
host.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
from collections import deque
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edgead import gpu
from edgead.kernels import library

ORDERS = ("at once", "needed", "forward", "backward")
"""When queued work runs. needed: what somebody waits for, and what that waits for. forward, backward: at every wait,
each stream as far as it can before the next one, in the order in which they were made or the other way."""

FREED = 0xEE  # what freed memory holds: whoever uses it is found out


class FakeCuda(ModuleType):
    """pycuda.driver, as far as `edgead.gpu` uses it. Work without a current context is an error, as on a GPU.

    live: what was made and not freed. fail_at: the allocation that fails. fail: names of calls that fail, each once.
    calls: the names of the driver's functions, in the order of the calls. devices, integrated: what there is.
    """

    class Error(Exception):
        pass

    device_attribute = SimpleNamespace(INTEGRATED="integrated")
    event_flags = SimpleNamespace(DISABLE_TIMING=2)
    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)

    def __init__(self, order="at once"):
        super().__init__("pycuda.driver")
        assert order in ORDERS
        self.order, self.devices, self.integrated = order, 1, False
        self.live, self.freed, self.allocations, self.fail_at = set(), [], 0, None
        self.fail, self.calls = set(), []
        self.threads = threading.local()
        self.running = threading.RLock()
        self.streams = {}  # by handle
        self.launched = []  # handles, by kernels and engines
        cuda = self

        class Device:
            def __init__(self, index):
                assert index < cuda.devices

            count = staticmethod(lambda: cuda.devices)
            name = staticmethod(lambda: "Fake GPU")
            compute_capability = staticmethod(lambda: (8, 7))

            def get_attribute(self, attribute):
                return int(getattr(cuda, attribute))

            def retain_primary_context(self):
                return SimpleNamespace(push=lambda: cuda.stack().append("primary"))

        class Event:
            """recorded: how often, as seen by who queues. done: the last of them that has come."""

            def __init__(self, flags=0):
                cuda.need_context()
                assert flags == cuda.event_flags.DISABLE_TIMING
                self.recorded = self.done = 0

            def record(self, stream):
                cuda.called("event.record")
                self.recorded += 1
                self.stream, count = stream, self.recorded
                cuda.put(stream.handle, lambda: setattr(self, "done", count))

            def synchronize(self):
                cuda.need_context()
                count = self.recorded
                if count:
                    cuda.run(self.stream, lambda: self.done >= count)

        class Stream:
            def __init__(self, flags=0):
                cuda.need_context()
                assert flags in (0, 1)
                self.handle = 77 + len(cuda.streams)
                self.queue, self.captured = deque(), None
                cuda.streams[self.handle] = self

            def wait_for_event(self, event):
                cuda.called("stream.wait_for_event")
                count = event.recorded
                cuda.put(self.handle, lambda: event.done >= count)

            def synchronize(self):
                cuda.called("stream.synchronize")
                if self.captured is not None:
                    raise cuda.Error("cuStreamSynchronize failed: operation not permitted when stream is capturing")
                cuda.run(self, lambda: not self.queue)

        class Memory:
            def __init__(self, size):
                cuda.allocate(self, size)
                self.bytes = np.full(size, 0x55, np.uint8)

            def free(self):
                cuda.free(self, self.bytes)

            def __int__(self):
                return self.bytes.ctypes.data

        class Locked(bytearray):
            __hash__ = object.__hash__
            mapped = False

            def get_device_pointer(self):
                cuda.need_context()
                assert self.mapped
                return np.frombuffer(self, np.uint8).ctypes.data

            def free(self):
                cuda.free(self, np.frombuffer(self, np.uint8))

        def pagelocked_empty(shape, dtype, order="C", mem_flags=0):
            memory = Locked(b"\x55" * (shape * np.dtype(dtype).itemsize))
            memory.mapped = mem_flags == cuda.host_alloc_flags.DEVICEMAP
            cuda.allocate(memory, len(memory))
            return np.ndarray(shape, dtype, buffer=memory)

        self.Device, self.Event, self.Stream = Device, Event, Stream
        self.mem_alloc, self.Locked, self.pagelocked_empty = Memory, Locked, pagelocked_empty
        self.Context = SimpleNamespace(pop=lambda: cuda.stack().pop())

    def stack(self):
        return self.threads.__dict__.setdefault("stack", [])

    def need_context(self):
        if not self.stack():
            raise self.Error("no currently active context")

    def called(self, name):
        self.need_context()
        self.calls.append(name)
        if name in self.fail:
            self.fail.discard(name)
            raise self.Error(f"{name} failed: unknown error")

    def allocate(self, memory, size):
        self.called("alloc")
        assert size > 0
        self.allocations += 1
        if self.allocations == self.fail_at:
            raise self.Error("cuMemAlloc failed: out of memory")
        self.live.add(memory)

    def free(self, memory, content):
        self.need_context()
        self.live.remove(memory)
        content[:] = FREED
        self.freed.append(content)

    def init(self):
        pass

    def get_driver_version(self):
        return 12060

    def memcpy_htod_async(self, address, array, stream):
        self.called("memcpy_htod_async")
        self.copy(address, array.ctypes.data, array, stream)

    def memcpy_dtoh_async(self, array, address, stream):
        self.called("memcpy_dtoh_async")
        self.copy(array.ctypes.data, address, array, stream)

    def copy(self, target, source, array, stream):
        base = array
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base, self.Locked), "a copy of memory that is not page-locked would wait"
        assert array.flags.c_contiguous
        self.put(stream.handle, lambda: ctypes.memmove(target, source, array.nbytes))

    # Queues. A step that returns False has to wait, and comes again.

    def put(self, handle, step):
        with self.running:
            stream = self.streams[handle]
            (stream.queue if stream.captured is None else stream.captured).append(step)
            if self.order == "at once":
                self.advance(stream)

    def step(self, stream):
        """One step, where it can go on."""
        if not stream.queue or stream.queue[0]() is False:
            return False
        stream.queue.popleft()
        return True

    def advance(self, stream):
        """As far as it goes."""
        while self.step(stream):
            pass

    def run(self, stream, done):
        """Until `done`, which `stream` comes to."""
        with self.running:
            streams = list(self.streams.values())
            while not done():
                before = sum(len(other.queue) for other in streams)
                if self.order == "needed":
                    first = [stream, *(other for other in streams if other is not stream)]
                    any(self.step(other) for other in first)
                else:
                    for other in streams if self.order != "backward" else streams[::-1]:
                        self.advance(other)
                assert sum(len(other.queue) for other in streams) < before, "streams wait for each other for ever"


class FakeLibcuda:
    """The functions of libcuda that graphs take, by their signatures in cuda.h. Handles are numbers."""

    def __init__(self, cuda):
        self._cuda, self._made, self._numbers = cuda, {}, itertools.count(1000)
        self.fail = {}  # a function's name -> the error that it returns, once
        self.refuses = False  # whether what is captured cannot be
        self.launches = 0

    @property
    def live(self):
        return list(self._made.values())

    def _answer(self, name):
        self._cuda.need_context()
        self._cuda.calls.append(name)
        return self.fail.pop(name, 0)

    def _keep(self, place, what):
        number = next(self._numbers)
        self._made[number] = what
        place._obj.value = number

    def cuStreamBeginCapture_v2(self, stream: ctypes.c_void_p, mode: int) -> int:
        stream = self._cuda.streams[stream.value]
        assert mode in (0, 1, 2) and stream.captured is None
        if error := self._answer("cuStreamBeginCapture_v2"):
            return error
        stream.captured = []
        return 0

    def cuStreamEndCapture(self, stream: ctypes.c_void_p, graph) -> int:
        error = self._answer("cuStreamEndCapture")
        stream = self._cuda.streams[stream.value]
        steps, stream.captured = stream.captured, None
        if error or self.refuses:
            return error or 901
        self._keep(graph, ("graph", tuple(steps)))
        return 0

    def cuGraphInstantiateWithFlags(self, executable, graph: ctypes.c_void_p, flags: ctypes.c_ulonglong) -> int:
        assert isinstance(flags, ctypes.c_ulonglong)
        if error := self._answer("cuGraphInstantiateWithFlags"):
            return error
        kind, steps = self._made[graph.value]
        assert kind == "graph"
        self._keep(executable, ("executable", steps))
        return 0

    def cuGraphLaunch(self, executable: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:
        if error := self._answer("cuGraphLaunch"):
            return error
        kind, steps = self._made[executable.value]
        assert kind == "executable"
        self.launches += 1
        for step in steps:
            self._cuda.put(stream.value, step)
        return 0

    def cuGraphExecDestroy(self, executable: ctypes.c_void_p) -> int:
        assert self._made.pop(executable.value)[0] == "executable"
        return self._answer("cuGraphExecDestroy")

    def cuGraphDestroy(self, graph: ctypes.c_void_p) -> int:
        assert self._made.pop(graph.value)[0] == "graph"
        return self._answer("cuGraphDestroy")


class QueuedLibrary:
    """The emulated CUDA library on the stand-in's streams. What is given by pointer to the host is read at the call.

    fail: names of functions that fail, each once."""

    def __init__(self, path, cuda):
        self._library, self._cuda = ctypes.CDLL(str(path)), cuda
        self._library.edgead_cuda_error.restype = ctypes.c_char_p
        self.fail = set()

    def __getattr__(self, name):
        function = getattr(self._library, name)
        if name in ("edgead_cuda_error", "edgead_cuda_ready") or name.endswith("_bytes"):
            return function

        def queue(*arguments):
            self._cuda.need_context()
            self._cuda.calls.append(name)
            if name in self.fail:
                self.fail.discard(name)
                return 5
            kept = [
                type(given._obj).from_buffer_copy(given._obj) if hasattr(given, "_obj") else given
                for given in arguments
            ]
            given = [ctypes.byref(value) if isinstance(value, ctypes.Structure) else value for value in kept]
            self._cuda.launched.append(arguments[-1].value)
            answers = []

            def step():
                answers.append(function(*given))
                assert answers[-1] == 0 or self._cuda.order == "at once", name

            self._cuda.put(arguments[-1].value, step)
            return answers[0] if answers else 0

        return queue


def at(address, shape, kind):
    """The array that begins at an address."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return np.frombuffer((ctypes.c_byte * size).from_address(address), kind).reshape(shape)


@pytest.fixture(params=["at once"])
def stand_in(request, monkeypatch):
    """A machine with a stand-in GPU, a `FakeCuda`. Nothing of it may be left when a test ends.

    Parameters, given indirectly: its order."""
    cuda = FakeCuda(request.param)
    package = ModuleType("pycuda")
    package.driver = cuda
    cuda.graphs = FakeLibcuda(cuda)
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", cuda)
    monkeypatch.setattr(gpu.graph, "_library", lambda: cuda.graphs)
    caches = (gpu.driver.driver, gpu.driver._primary_context)
    for cache in caches:
        cache.cache_clear()
    yield cuda
    for cache in caches:
        cache.cache_clear()
    for stream in cuda.streams.values():
        cuda.advance(stream)  # what nobody has waited for comes now, over memory that was freed
    assert not cuda.live
    assert not cuda.stack()
    assert not cuda.graphs.live
    assert not any((content != FREED).any() for content in cuda.freed)


@pytest.fixture
def kernels(stand_in, emulated_library, monkeypatch):
    """Our kernels on the stand-in's streams."""
    queued = QueuedLibrary(emulated_library, stand_in)
    monkeypatch.setattr(library, "cuda", lambda: queued)
    return queued
