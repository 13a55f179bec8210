"""The TensorRT engine on a stand-in for the GPU: device memory is host memory, the plan says what shall happen.

It shows the order of calls, that every resource goes back, and what errors say. That the names of the real library
are right is shown by tests/export/test_tensorrt_api.py; what a GPU computes needs a GPU.
"""

from __future__ import annotations

import ctypes
import enum
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edgead import gpu
from edgead.engines import tensorrt
from edgead.engines.tensorrt import TensorRtEngine
from edgead.errors import EngineError, EngineUnavailable, FrameError

SIZE = (4, 6)
DEVICES_WARNING = (
    "Using an engine plan file across different models of devices is not recommended and may cause errors."
)


class FakeCuda(ModuleType):
    """pycuda.driver, as far as `edgead.gpu` uses it. Work without a current context is an error, as on a GPU."""

    class Error(Exception):
        pass

    def __init__(self):
        super().__init__("pycuda.driver")
        self.live, self.allocations, self.fail_at, self.devices = set(), 0, None, 1
        self.threads = threading.local()
        self.streams = []
        cuda = self

        class Device:
            def __init__(self, index):
                assert index < cuda.devices

            count = staticmethod(lambda: cuda.devices)
            name = staticmethod(lambda: "Fake GPU")
            compute_capability = staticmethod(lambda: (8, 7))

            def retain_primary_context(self):
                return SimpleNamespace(push=lambda: cuda.stack().append("primary"))

        class Stream:
            handle = 77

            def __init__(self):
                cuda.need_context()
                cuda.queue = []

            def synchronize(self):
                cuda.need_context()
                while cuda.queue:
                    cuda.queue.pop(0)()

        class Memory:
            def __init__(self, size):
                cuda.need_context()
                cuda.allocations += 1
                if cuda.allocations == cuda.fail_at:
                    raise cuda.Error("cuMemAlloc failed: out of memory")
                cuda.live.add(self)
                self.bytes = (ctypes.c_char * size)()

            def free(self):
                cuda.need_context()
                cuda.live.remove(self)

            def __int__(self):
                return ctypes.addressof(self.bytes)

        class Locked(bytearray):
            __hash__ = object.__hash__

            def free(self):
                cuda.need_context()
                cuda.live.remove(self)

        def pagelocked_empty(size, dtype):
            cuda.need_context()
            memory = Locked(size * np.dtype(dtype).itemsize)
            cuda.live.add(memory)
            return np.ndarray(size, dtype, buffer=memory)

        self.Device, self.Stream, self.mem_alloc, self.pagelocked_empty = Device, Stream, Memory, pagelocked_empty
        self.Context = SimpleNamespace(pop=lambda: cuda.stack().pop())

    def stack(self):
        return self.threads.__dict__.setdefault("stack", [])

    def need_context(self):
        if not self.stack():
            raise self.Error("no currently active context")

    def init(self):
        pass

    def get_driver_version(self):
        return 12060

    def memcpy_htod_async(self, address, array, stream):
        self.need_context()
        assert array.flags.c_contiguous
        self.queue.append(lambda: ctypes.memmove(address, array.ctypes.data, array.nbytes))

    def memcpy_dtoh_async(self, array, address, stream):
        self.need_context()
        self.queue.append(lambda: ctypes.memmove(array.ctypes.data, address, array.nbytes))


class FakeTensorRt(ModuleType):
    """The library. A plan is JSON: the largest batch, the types of its tensors, and what shall go wrong."""

    DataType = enum.Enum("DataType", "UINT8 FLOAT HALF")
    TensorIOMode = enum.Enum("TensorIOMode", "INPUT OUTPUT")

    class ILogger:
        Severity = enum.Enum("Severity", "ERROR WARNING VERBOSE")

    def __init__(self, cuda):
        super().__init__("tensorrt")
        self.__version__ = "10.3.0"
        trt = self

        class Runtime:
            def __init__(self, logger):
                self.logger = logger

            def deserialize_cuda_engine(self, plan):
                cuda.need_context()
                wishes = json.loads(plan)
                for severity, text in wishes.get("says", []):
                    self.logger.log(trt.ILogger.Severity[severity], text)
                return None if wishes.get("refuses") else Engine(wishes, self.logger)

        class Engine:
            def __init__(self, wishes, logger):
                self.wishes, self.logger = wishes, logger
                self.tensors = wishes.get("tensors", {"image": "UINT8", "anomaly_map": "FLOAT", "score": "FLOAT"})
                self.num_io_tensors = len(self.tensors)

            def get_tensor_name(self, index):
                return list(self.tensors)[index]

            def get_tensor_mode(self, name):
                return trt.TensorIOMode.INPUT if name in ("image", "other") else trt.TensorIOMode.OUTPUT

            def get_tensor_dtype(self, name):
                return trt.DataType[self.tensors[name]]

            def get_tensor_profile_shape(self, name, index):
                assert (name, index) == ("image", 0)
                return [(n, *SIZE, 3) for n in (1, 1, self.wishes["max_batch"])]

            def create_execution_context(self):
                return None if self.wishes.get("no_context") else Context(self)

        class Context:
            def __init__(self, engine):
                self.engine, self.addresses, self.shape = engine, {}, None

            def set_input_shape(self, name, shape):
                self.shape = shape
                return shape[0] <= self.engine.wishes["max_batch"]

            def get_tensor_shape(self, name):
                return {"score": self.shape[:1], "anomaly_map": self.shape[:3]}[name]

            def set_tensor_address(self, name, address):
                self.addresses[name] = address
                return name in self.engine.tensors

            def execute_async_v3(self, stream):
                cuda.need_context()
                cuda.streams.append(stream)
                if self.engine.wishes.get("fails"):
                    self.engine.logger.log(trt.ILogger.Severity.ERROR, "enqueueV3: kernel\nfailed")
                    return False
                shape, addresses = self.shape, dict(self.addresses)
                cuda.queue.append(lambda: compute(shape, addresses))
                return True

        self.Runtime = Runtime


def compute(shape, addresses):
    image = at(addresses["image"], shape, ctypes.c_uint8)
    outputs = reference(image)
    for name, values in outputs.items():
        at(addresses[name], values.shape, ctypes.c_float)[...] = values


def at(address, shape, kind):
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(kind)), shape)


def reference(image):
    anomaly_map = image.astype(np.float32).mean(axis=3)
    return {"anomaly_map": anomaly_map, "score": anomaly_map.max(axis=(1, 2))}


@pytest.fixture
def cuda(monkeypatch):
    """A machine with a stand-in GPU and library. Nothing of it may be left when a test ends."""
    cuda = FakeCuda()
    package = ModuleType("pycuda")
    package.driver = cuda
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt(cuda))
    caches = (gpu._driver, gpu._primary_context, tensorrt.bindings, tensorrt.journal)
    for cache in caches:
        cache.cache_clear()
    yield cuda
    for cache in caches:
        cache.cache_clear()
    assert not cuda.live
    assert not cuda.stack()


def plan(**wishes):
    return json.dumps({"max_batch": 4, **wishes}).encode()


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)


def assert_same(found, image):
    expected = reference(image)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == np.float32


def test_batches_of_every_size_come_back_whole(cuda):
    with TensorRtEngine(plan(), "tensorrt", max_batch=4) as engine:
        assert (engine.name, engine.size) == ("tensorrt", SIZE)
        for count in (4, 1, 3, 2):
            assert_same(engine.infer(images(count, seed=count)), images(count, seed=count))
        assert set(cuda.streams) == {77}


def test_answers_are_the_callers_to_keep(cuda):
    with TensorRtEngine(plan(), "tensorrt", max_batch=4) as engine:
        first = engine.infer(images(2, seed=1))
        engine.infer(images(2, seed=2))
    assert_same(first, images(2, seed=1))


def test_it_may_run_and_close_in_other_threads(cuda):
    engine = TensorRtEngine(plan(), "tensorrt", max_batch=4)
    with ThreadPoolExecutor(1) as entering, ThreadPoolExecutor(1) as running:
        entering.submit(engine.__enter__).result()
        assert_same(running.submit(engine.infer, images(2)).result(), images(2))
        running.submit(engine.__exit__, None, None, None).result()
        assert running.submit(cuda.stack).result() == []


def test_it_computes_on_memory_of_the_caller(cuda):
    image = images(2)
    outputs = {"anomaly_map": np.zeros((2, *SIZE), np.float32), "score": np.zeros(2, np.float32)}
    addresses = {name: array.ctypes.data for name, array in {"image": image, **outputs}.items()}
    engine = TensorRtEngine(plan(), "tensorrt", max_batch=4)
    with pytest.raises(EngineError, match="not running"):
        engine.infer_on_device(addresses, 2, 5)
    with engine:
        engine.infer_on_device(addresses, 2, 5)
        cuda.queue.pop()()
        assert cuda.streams == [5]
        assert_same(outputs, image)
        assert_same(engine.infer(images(1, seed=9)), images(1, seed=9))  # its own memory is bound again


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (
            {"refuses": True, "says": [["ERROR", "expecting library version 10.3 got 11.4"]]},
            r"does not load \(expecting library version 10.3 got 11.4\), tensorrt, run `edgead build-engine`",
        ),
        ({"refuses": True}, "gives no reason"),
        ({"says": [["WARNING", DEVICES_WARNING]]}, "it was built on another GPU.*build-engine"),
        ({"no_context": True}, "cannot be run"),
        ({"max_batch": 2}, r"takes \(2, 4, 6, 3\) at most.*batches of 4 images"),
        ({"tensors": {"image": "FLOAT", "score": "FLOAT"}}, "'image' of the plan is .*FLOAT"),
        ({"tensors": {"image": "UINT8", "score": "HALF"}}, "'score' of the plan is .*HALF"),
        ({"tensors": {"image": "UINT8", "other": "UINT8"}}, "'other' of the plan"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_and_leaves_nothing(cuda, wishes, said):
    engine = TensorRtEngine(plan(**wishes), "tensorrt", max_batch=4)
    with pytest.raises(EngineError, match=said), engine:
        pytest.fail("entered")
    assert not cuda.live


def test_other_warnings_do_no_harm(cuda):
    with TensorRtEngine(plan(says=[["WARNING", "lazy loading is off"]]), "tensorrt", max_batch=4) as engine:
        assert_same(engine.infer(images(1)), images(1))


@pytest.mark.parametrize("allocation", [1, 2, 3])
def test_memory_that_runs_out_while_loading_is_given_back(cuda, allocation):
    cuda.fail_at = allocation
    engine = TensorRtEngine(plan(), "tensorrt", max_batch=4)
    with pytest.raises(EngineError, match="out of memory"), engine:
        pytest.fail("entered")
    assert not cuda.live


def test_a_run_that_fails_says_why(cuda):
    said = r"a batch of 1 fails \(enqueueV3: kernel failed\)"
    with TensorRtEngine(plan(fails=True), "tensorrt", max_batch=4) as engine, pytest.raises(EngineError, match=said):
        engine.infer(images(1))


def test_frames_of_another_size_are_refused(cuda):
    with (
        TensorRtEngine(plan(), "tensorrt", max_batch=4) as engine,
        pytest.raises(FrameError, match="resize them to 4 x 6"),
    ):
        engine.infer(np.zeros((1, 6, 4, 3), np.uint8))


def test_the_key_names_the_device(cuda):
    key = tensorrt.engine_key("abc", "int8", (1, 4), "tensorrt")
    assert (key.graph, key.precision, key.min_batch, key.max_batch) == ("abc", "int8", 1, 4)
    assert (key.runtime, key.runtime_version) == ("tensorrt", "10.3.0")
    assert (key.device, key.compute_capability, key.driver) == ("Fake GPU", "8.7", "12.6")


def test_a_gpu_and_the_library_are_enough(cuda):
    assert tensorrt.unavailable("tensorrt") is None


def test_what_is_missing_is_named(cuda, monkeypatch):
    cuda.devices = 0
    assert "no CUDA device" in tensorrt.unavailable("tensorrt")
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    assert "pycuda does not import" in tensorrt.unavailable("tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    tensorrt.bindings.cache_clear()
    assert "install edgead[tensorrt]" in tensorrt.unavailable("tensorrt")
    with pytest.raises(EngineUnavailable, match="choose one of tensorrt, tensorrt-rtx"):
        tensorrt.bindings("tensorflow")


@pytest.mark.parametrize(
    ("version", "fits"), [("8.6.1", False), ("10.2.0", False), ("10.3.0", True), ("11.4.0.106", True)]
)
def test_old_libraries_are_refused(cuda, version, fits):
    sys.modules["tensorrt"].__version__ = version
    reason = tensorrt.unavailable("tensorrt")
    assert (reason is None) == fits
    if not fits:
        assert reason == f"TensorRT {version} is too old, install TensorRT 10.3 or newer"
