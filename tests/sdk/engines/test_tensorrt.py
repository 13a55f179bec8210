"""The TensorRT engine on a stand-in for the GPU: device memory is host memory, the plan says what shall happen.

It shows the order of calls, that every resource goes back, and what errors say. That the names of the real library
are right is shown by tests/export/test_tensorrt_api.py; what a GPU computes needs a GPU.
"""

from __future__ import annotations

import ctypes
import enum
import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edgead import gpu
from edgead.engines import tensorrt
from edgead.engines.choice import choose
from edgead.engines.stage import Stage
from edgead.engines.tensorrt import TensorRtEngine
from edgead.errors import EngineError, EngineUnavailable, FrameError
from edgead.kernels import preprocess
from edgead.pipeline import open_pipeline
from edgead.pipeline.device import DevicePipeline

SIZE = (4, 6)
DEVICES_WARNING = (
    "Using an engine plan file across different models of devices is not recommended and may cause errors."
)


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
                if wishes.get("host_code") and not getattr(self, "engine_host_code_allowed", False):
                    self.logger.log(trt.ILogger.Severity.ERROR, "host code is not allowed")
                    return None
                assert getattr(self, "DLA_core", None) == wishes.get("dla")
                return None if wishes.get("refuses") else Engine(wishes, self.logger)

        class Engine:
            def __init__(self, wishes, logger):
                self.wishes, self.logger = wishes, logger
                self.tensors = wishes.get("tensors", {"image": "UINT8", "anomaly_map": "FLOAT", "score": "FLOAT"})
                self.num_io_tensors = len(self.tensors)
                self.refittable, self.weights = "weights" in wishes, None

            def get_tensor_name(self, index):
                return list(self.tensors)[index]

            def get_tensor_mode(self, name):
                return trt.TensorIOMode.INPUT if name in ("image", "other") else trt.TensorIOMode.OUTPUT

            def get_tensor_dtype(self, name):
                return trt.DataType[self.tensors[name]]

            def get_tensor_profile_shape(self, name, index):
                assert (name, index) == ("image", 0)
                return [(n, *SIZE, 3) for n in (self.wishes.get("min_batch", 1), 1, self.wishes["max_batch"])]

            def create_execution_context(self):
                assert self.weights == self.wishes.get("weights")
                return None if self.wishes.get("no_context") else Context(self)

        class Context:
            def __init__(self, engine):
                self.engine, self.addresses, self.shape = engine, {}, None

            def set_input_shape(self, name, shape):
                self.shape = shape
                return self.engine.wishes.get("min_batch", 1) <= shape[0] <= self.engine.wishes["max_batch"]

            def get_tensor_shape(self, name):
                return {"score": self.shape[:1], "anomaly_map": self.shape[:3]}[name]

            def set_tensor_address(self, name, address):
                self.addresses[name] = address
                return name in self.engine.tensors

            def execute_async_v3(self, stream):
                cuda.need_context()
                cuda.launched.append(stream)
                if self.engine.wishes.get("fails"):
                    self.engine.logger.log(trt.ILogger.Severity.ERROR, "enqueueV3: kernel\nfailed")
                    return False
                shape, addresses = self.shape, dict(self.addresses)
                cuda.put(stream, lambda: compute(shape, addresses))
                return True

        class Refitter:
            def __init__(self, engine, logger):
                self.engine, self.logger, self.found = engine, logger, None

            def refit_cuda_engine(self):
                self.engine.weights = self.found
                return self.found == self.engine.wishes["weights"]

        class Parser:
            def __init__(self, refitter, logger):
                self.refitter = refitter

            def refit_from_bytes(self, graph):
                self.refitter.found = graph.decode()
                if graph == b"damaged":
                    self.refitter.logger.log(trt.ILogger.Severity.ERROR, "no ONNX")
                return graph != b"damaged"

        self.Runtime, self.Refitter, self.OnnxParserRefitter = Runtime, Refitter, Parser
        self.get_plugin_registry = registry(lambda path: "handle")


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
def cuda(stand_in, monkeypatch):
    """A machine with a stand-in GPU and library. Nothing of it may be left when a test ends."""
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt(stand_in))
    caches = (tensorrt.bindings, tensorrt.journal)
    for cache in caches:
        cache.cache_clear()
    yield stand_in
    for cache in caches:
        cache.cache_clear()


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
        assert len(set(cuda.launched)) == 1


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
        engine.enqueue(addresses, 2, 5)
    with engine:
        assert isinstance(engine, Stage)
        assert engine.outputs == {"anomaly_map": SIZE, "score": ()}
        with gpu.current():
            stream = gpu.Stream()
        engine.enqueue(addresses, 2, stream.handle)
        assert cuda.launched == [stream.handle]
        assert_same(outputs, image)
        assert_same(engine.infer(images(1, seed=9)), images(1, seed=9))  # its own memory is bound again


def test_the_pipeline_of_the_gpu_is_chosen_and_captures_it(cuda, kernels):
    """Memory of the host is seen by the graph as the CPU would have made it, and its outputs come back."""
    with TensorRtEngine(plan(), "tensorrt", max_batch=4) as engine:
        pipeline = open_pipeline(engine, *SIZE, 100.0, maps=True, overlay=False)
        assert isinstance(pipeline, DevicePipeline)
        for seed in range(3):
            frame = np.random.default_rng(seed).integers(0, 256, (9, 17, 3), dtype=np.uint8)
            expected = reference(preprocess(frame, *SIZE)[None])
            answer = pipeline.infer(pipeline.prepare(frame))
            assert answer.score == expected["score"][0] and answer.finite
            np.testing.assert_array_equal(answer.anomaly_map, expected["anomaly_map"][0])
            assert_same(engine.infer(images(2, seed=seed)), images(2, seed=seed))  # in between, on memory of its own
        pipeline.close()
    assert cuda.graphs.launches == 2


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


def test_batches_that_are_too_small_are_filled_up(cuda):
    with TensorRtEngine(plan(min_batch=3), "tensorrt", max_batch=4) as engine:
        for count in (4, 1, 2, 3):
            assert_same(engine.infer(images(count, seed=count)), images(count, seed=count))
        with pytest.raises(EngineError, match=r"a batch of 1, and the engine was built for 3 .*--min-batch 1"):
            engine.enqueue({}, 1, 5)
    with pytest.raises(EngineError, match="takes 3 images at least"):
        TensorRtEngine(plan(min_batch=3), "tensorrt", max_batch=2).__enter__()


def test_a_plan_without_weights_takes_those_of_its_graph(cuda):
    def engine(graph):
        return TensorRtEngine(plan(weights="graph"), "tensorrt", max_batch=4, graph=graph)

    with engine(b"graph") as running:
        assert_same(running.infer(images(1)), images(1))
    for graph, said in (
        (None, "give the graph"),
        (b"damaged", r"its weights \(no ONNX\)"),
        (b"another", "its weights"),
    ):
        with pytest.raises(EngineError, match=said), engine(graph):
            pytest.fail("entered")
    assert not cuda.live


def test_options_of_the_key_reach_the_runtime(cuda):
    for wishes, options in (({"dla": 1}, {"dla": "1"}), ({"host_code": True}, {"version_compatible": "True"})):
        with TensorRtEngine(plan(**wishes), "tensorrt", max_batch=4, options=options) as engine:
            assert_same(engine.infer(images(1)), images(1))
    with pytest.raises(EngineError, match="host code"), TensorRtEngine(plan(host_code=True), "tensorrt", max_batch=4):
        pytest.fail("entered")


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
    found = key(b"abc")
    assert found.graph == hashlib.sha256(b"abc").hexdigest()
    assert (found.precision, found.min_batch, found.max_batch) == ("int8", 1, 4)
    assert (found.runtime, found.runtime_version) == ("tensorrt", "10.3.0")
    assert (found.device, found.compute_capability, found.driver) == ("Fake GPU", "8.7", "12.6")


def test_the_engine_with_the_options_chosen_is_the_one_to_run(cuda, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    options = {"dla": "0", "min_batch": "2"}
    usual = key(b"abc")
    assert usual == tensorrt.engine_key(b"abc", "int8", (1, 4), "tensorrt", {})
    choose(usual, options)
    assert key(b"abc") == tensorrt.engine_key(b"abc", "int8", (1, 4), "tensorrt", options) != usual
    assert (key(b"abc").min_batch, key(b"abc").options) == (2, options)
    assert key(b"another").options == {}
    (path,) = tmp_path.iterdir()
    for damaged in (b"", b"[]", b'{"dla": 1}', path.read_bytes()[:-3], b"\xff"):
        path.write_bytes(damaged)
        assert key(b"abc") == usual
        assert "the usual options" in caplog.text
        caplog.clear()
    for _ in range(2):
        choose(usual, {})
        assert key(b"abc") == usual
    assert list(tmp_path.iterdir()) == []


def test_a_choice_that_cannot_be_written_is_an_error(cuda, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    usual = key(b"abc")
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "file" / "cache"))
    assert key(b"abc") == usual
    with pytest.raises(EngineError, match="EDGEAD_CACHE"):
        choose(usual, {"dla": "0"})


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Puts a library of plugins into place that was built for some version of TensorRT, and returns its path."""
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    (tmp_path / "native").mkdir()
    monkeypatch.setenv("EDGEAD_NATIVE", str(tmp_path / "native"))
    library = tmp_path / "native" / "libedgead_plugins.so"

    def put(built):
        source, made = tmp_path / "plugins.c", tmp_path / "made.so"
        source.write_text(f"int edgead_plugins_tensorrt(void) {{ return {built}; }}")
        subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(made)], check=True)
        made.replace(library)
        return library

    return put


def key(graph):
    return tensorrt.engine_key(graph, "int8", (1, 4), "tensorrt")


def registry(load):
    return lambda: SimpleNamespace(load_library=load)


def test_the_key_names_the_plugins_where_the_graph_has_a_use_for_them(cuda, plugins):
    graph = b"... NeighborMaskedAttention ..."
    bare = key(graph)
    library = plugins(10)
    first = key(graph)
    with library.open("ab") as file:
        file.write(b"another")
    assert len({bare.digest, first.digest, key(graph).digest}) == 3
    assert key(b"plain").options == bare.options == {}


def test_plugins_are_registered_once_and_before_a_plan_is_read(cuda, plugins):
    order = []
    library = plugins(10)
    trt = tensorrt.bindings("tensorrt")
    trt.get_plugin_registry = registry(lambda path: order.append(path) or "handle")

    class Runtime(trt.Runtime):
        def deserialize_cuda_engine(self, plan):
            order.append("plan")
            return super().deserialize_cuda_engine(plan)

    trt.Runtime = Runtime
    for _ in range(2):
        with TensorRtEngine(plan(), "tensorrt", max_batch=4):
            pass
    assert order == [str(library), "plan", "plan"]


def test_plugins_for_another_tensorrt_are_not_registered(cuda, plugins):
    plugins(11)
    trt = tensorrt.bindings("tensorrt")
    trt.get_plugin_registry = registry(lambda path: pytest.fail(path))
    assert tensorrt.load_plugins("tensorrt") == "libedgead_plugins.so was built for TensorRT 11"
    assert key(b"... NeighborMaskedAttention ...").options == {}
    with TensorRtEngine(plan(), "tensorrt", max_batch=4):
        pass


def test_plugins_that_do_not_load_are_as_if_they_were_not_built(cuda, plugins):
    library = plugins(10)
    library.unlink()
    assert tensorrt.load_plugins("tensorrt") == "libedgead_plugins.so was not built"
    library.write_bytes(b"no library")
    assert tensorrt.load_plugins("tensorrt").startswith("libedgead_plugins.so does not load (")


def test_plugins_that_tensorrt_refuses_are_an_error(cuda, plugins):
    plugins(10)
    trt = tensorrt.bindings("tensorrt")
    trt.get_plugin_registry = registry(lambda path: None)
    with (
        pytest.raises(EngineError, match=r"tensorrt refuses the plugins, .*libedgead_plugins\.so"),
        TensorRtEngine(plan(), "tensorrt", max_batch=4),
    ):
        pass


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
