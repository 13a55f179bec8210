"""Options that only TensorRT on its own device has, on a stand-in for its builder: what is set, refused and kept.

That the names exist in the real bindings is shown by test_tensorrt_api.py; test_tensorrt_rtx.py really builds.
"""

from __future__ import annotations

import enum
import shutil
import sys
from dataclasses import fields
from types import ModuleType, SimpleNamespace

import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from edgead.bundle import read_bundle
from edgead.cli.build_engine import build_engine_command
from edgead.data.layout import read_dataset
from edgead.engines import openvino, tensorrt
from edgead.engines.cache import lookup
from edgead.engines.targets import Candidate
from edgead.engines.timings import TimingKey, lookup_timings, store_timings
from edgead.errors import EngineError
from edgead.export import build as module
from edgead.export.build import build_engine
from edgead.export.options import BuildOptions
from edgead.export.plan_options import PlanOptions
from edgead.export.tensorrt import Plan, build_plan, check_options
from edgead.loading import engine_key

KEY = TimingKey("tensorrt", "10.3.0", "Some GPU", "8.7", "12.6")
HEAD = b"timings:"  # what the stand-in's timing caches begin with


class FakeBuilders(ModuleType):
    """TensorRT 10.3 on a device with some cores of the DLA, which run convolutions."""

    BuilderFlag = enum.Enum(
        "BuilderFlag", "TF32 GPU_FALLBACK REFIT REFIT_IDENTICAL STRIP_PLAN VERSION_COMPATIBLE EDITABLE"
    )
    DeviceType = enum.Enum("DeviceType", "GPU DLA")
    HardwareCompatibilityLevel = enum.Enum("HardwareCompatibilityLevel", "NONE AMPERE_PLUS")
    LayerType = enum.Enum("LayerType", "CONSTANT CONVOLUTION DECONVOLUTION MATRIX_MULTIPLY SOFTMAX")
    MemoryPoolType = enum.Enum("MemoryPoolType", "WORKSPACE")
    ProfilingVerbosity = enum.Enum("ProfilingVerbosity", "DETAILED")
    NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", "STRONGLY_TYPED", start=1)
    IProgressMonitor = object
    LAYERS = (("weights", "CONSTANT"), ("conv1", "CONVOLUTION"), ("attention", "SOFTMAX"))

    class ILogger:
        Severity = enum.Enum("Severity", "ERROR WARNING VERBOSE")

    def __init__(self):
        super().__init__("tensorrt")
        self.__version__ = "10.3.0"
        self.cores, self.configs, self.measured = 2, [], 0
        trt = self

        class Config:
            def __init__(self):
                self.flags, self.pools, self.device, self.timings = {trt.BuilderFlag.TF32}, {}, trt.DeviceType.GPU, None
                trt.configs.append(self)

            def set_flag(self, flag):
                self.flags.add(flag)

            def clear_flag(self, flag):
                self.flags.discard(flag)

            def set_memory_pool_limit(self, pool, size):
                self.pools[pool] = size

            def can_run_on_DLA(self, layer):
                return layer.type == trt.LayerType.CONVOLUTION

            def create_timing_cache(self, content):
                return Timings(content or HEAD) if not content or content.startswith(HEAD) else None

            def set_timing_cache(self, timings, ignore_mismatch):
                self.timings = None if b"elsewhere" in timings.content and not ignore_mismatch else timings
                return self.timings is not None

            def add_optimization_profile(self, profile):
                self.profile = profile.shapes
                return 0

        class Timings:
            def __init__(self, content):
                self.content = content

            def serialize(self):
                return self.content

        class Builder:
            def __init__(self, logger):
                pass

            def create_network(self, flags):
                assert flags == 1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
                layers = [
                    SimpleNamespace(name=name, type=trt.LayerType[kind], metadata="") for name, kind in trt.LAYERS
                ]
                image = SimpleNamespace(name="image", shape=(-1, 8, 8, 3))
                return SimpleNamespace(
                    num_inputs=1, get_input=[image].__getitem__, num_layers=len(layers), get_layer=layers.__getitem__
                )

            def create_builder_config(self):
                return Config()

            def create_optimization_profile(self):
                profile = SimpleNamespace()
                profile.set_shape = lambda name, *shapes: setattr(profile, "shapes", [shape[0] for shape in shapes])
                return profile

            def build_serialized_network(self, network, config):
                for name in ("conv1", "attention"):
                    if config.timings is not None and name.encode() not in config.timings.content:
                        trt.measured += 1
                        config.timings.content += name.encode()
                return b"plan"

        Builder.num_DLA_cores = property(lambda self: trt.cores)
        self.Builder = Builder
        self.OnnxParser = lambda network, logger: SimpleNamespace(parse=lambda model: True)
        self.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda data: None)


@pytest.fixture
def trt(monkeypatch, tmp_path):
    fake = FakeBuilders()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    caches = (tensorrt.bindings, tensorrt.journal)
    for cache in caches:
        cache.cache_clear()
    yield fake
    for cache in caches:
        cache.cache_clear()


def built(trt, timings=None, **options):
    """The plan and the configuration that it was built with."""
    value = helper.make_tensor_value_info("image", TensorProto.UINT8, ("N", 8, 8, 3))
    model = helper.make_model(helper.make_graph([], "g", [value], [value])).SerializeToString()
    plan = build_plan(model, "tensorrt", PlanOptions(plugins=False, **options), timings=timings)
    return plan, trt.configs[-1]


def flags(config):
    return {flag.name for flag in config.flags}


def test_the_usual_plan_has_no_flags(trt):
    plan, config = built(trt)
    assert flags(config) == set()
    assert config.profile == [1, 1, 1]
    assert config.device == trt.DeviceType.GPU and config.pools == {} and plan.gpu_layers == ()
    assert not hasattr(config, "hardware_compatibility_level")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tf32": True}, {"TF32"}),
        ({"version_compatible": True}, {"VERSION_COMPATIBLE"}),
        ({"refit": True}, {"REFIT"}),
        ({"strip_weights": True}, {"STRIP_PLAN", "REFIT_IDENTICAL"}),
        ({"strip_weights": True, "refit": True}, {"STRIP_PLAN", "REFIT"}),
    ],
)
def test_kinds_of_plans_are_flags(trt, options, expected):
    assert flags(built(trt, **options)[1]) == expected


def test_numbers_reach_the_builder(trt):
    _, config = built(trt, min_batch=2, opt_batch=4, max_batch=8, workspace=64, optimization_level=5)
    assert config.profile == [2, 4, 8]
    assert config.pools == {trt.MemoryPoolType.WORKSPACE: 64 * 2**20}
    assert config.builder_optimization_level == 5


def test_a_dla_core_runs_what_it_can_and_the_report_says_what_it_cannot(trt):
    plan, config = built(trt, dla=1)
    assert (config.default_device_type, config.DLA_core, flags(config)) == (trt.DeviceType.DLA, 1, {"GPU_FALLBACK"})
    assert plan.gpu_layers == ("attention (softmax)",)


@pytest.mark.parametrize(
    ("cores", "said"), [(0, "no DLA core 2: this machine or this version .* has none"), (2, "it has 2, counted from 0")]
)
def test_a_dla_core_that_is_not_there_is_refused(trt, cores, said):
    trt.cores = cores
    for attempt in (lambda: built(trt, dla=2), lambda: check_options("tensorrt", PlanOptions(dla=2))):
        with pytest.raises(EngineError, match=f"{said}.*tensorrt, leave --dla out"):
            attempt()
    assert all(not hasattr(config, "DLA_core") for config in trt.configs)


def test_levels_of_hardware_compatibility_are_those_of_the_library(trt):
    _, config = built(trt, hardware_compatibility="ampere-plus")
    assert config.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS
    with pytest.raises(EngineError, match="--hardware-compatibility same-compute-capability is not in this library"):
        built(trt, hardware_compatibility="same-compute-capability")


def test_other_gpus_cannot_be_named(trt):
    with pytest.raises(EngineError, match="builds for the GPU of this machine alone"):
        built(trt, compute_capabilities=("8.6",))


def test_what_was_measured_is_not_measured_again(trt):
    for measured in (2, 2):
        built(trt, KEY)
        assert trt.measured == measured
    assert lookup_timings(KEY) == HEAD + b"conv1attention"
    assert [path.suffix for path in KEY.path.parent.iterdir()] == [".timings"]
    built(trt)
    assert trt.configs[-1].timings is None  # without an entry nothing is kept


def test_timings_of_another_device_are_not_used(trt):
    other = [TimingKey(**{**vars(KEY), entry.name: "other"}) for entry in fields(KEY)]
    assert len({key.path for key in (KEY, *other)}) == 6
    built(trt, KEY)
    KEY.path.rename(other[0].path)
    assert lookup_timings(other[0]) is None


@pytest.mark.parametrize("place", [0, 40, 200, -30])
def test_damaged_timings_are_measured_again_and_said_to_be(trt, place, caplog):
    built(trt, KEY)
    content = bytearray(KEY.path.read_bytes())
    KEY.path.write_bytes(content[: len(content) // 2])
    built(trt, KEY)
    assert trt.measured == 4
    assert "kernels are measured again" in caplog.text
    content[place] ^= 0xFF
    KEY.path.write_bytes(content)
    assert lookup_timings(KEY) in (None, HEAD + b"conv1attention")
    built(trt, KEY)
    assert lookup_timings(KEY) == HEAD + b"conv1attention"


@pytest.mark.parametrize("content", [b"of another version", HEAD + b"elsewhere"])
def test_timings_that_the_library_refuses_are_measured_again(trt, content, caplog):
    store_timings(KEY, content)
    built(trt, KEY)
    assert (trt.measured, lookup_timings(KEY)) == (2, HEAD + b"conv1attention")
    assert "the library refuses it" in caplog.text


def test_a_plan_is_built_where_timings_cannot_be_kept(trt, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "file" / "cache"))
    assert built(trt, KEY)[0].data == b"plan"
    assert "cannot be written" in caplog.text


OTHER = {
    "min_batch": 2,
    "opt_batch": 4,
    "workspace": 64,
    "optimization_level": 0,
    "compute_capabilities": ("8.6", "8.9"),
    "tf32": True,
    "plugins": False,
    "dla": 0,
    "hardware_compatibility": "ampere-plus",
    "version_compatible": True,
    "strip_weights": True,
    "refit": True,
}


def test_every_option_changes_the_key():
    assert {entry.name for entry in fields(PlanOptions)} == {"max_batch", *OTHER}
    changes = [PlanOptions(**{name: value}).changes for name, value in OTHER.items()]
    assert [list(change) for change in changes] == [[name] for name in OTHER]
    assert changes[4] == {"compute_capabilities": "8.6,8.9"}
    assert all(isinstance(value, str) for change in changes for value in change.values())
    assert PlanOptions(max_batch=8).changes == PlanOptions(opt_batch=1, max_batch=8).changes == {}
    assert PlanOptions(min_batch=2, opt_batch=2).changes == {"min_batch": "2"}


def test_a_key_with_options_differs(trt, stand_in):
    def key(options):
        return tensorrt.engine_key(b"graph", "int8", (1, 8), "tensorrt", options)

    keys = [key({}), *(key(PlanOptions(**{name: value}).changes) for name, value in OTHER.items())]
    assert len({each.digest for each in keys}) == len(keys)
    assert (keys[1].min_batch, keys[1].max_batch) == (2, 8)


@pytest.fixture
def bundle(fp32_bundle, tmp_path):
    return shutil.copy(fp32_bundle, tmp_path / "part.edgead")


def test_what_is_kept_and_run_is_the_engine_built_last(trt, stand_in, bundle, parts, monkeypatch):
    """Only what the builder and the GPU would compute is replaced: the plan, and the engine that is compared."""
    seen = []

    def compiled(graph, target, options, *, timings, progress):
        seen.append((options, timings))
        return Plan(f"plan {options.changes}".encode(), target, "10.3.0", (), gpu_layers=("a (softmax)",))

    def engine(data, target, bundle, graph, changes):
        return openvino.OpenVinoEngine(openvino.compile_graph(graph), max_batch=bundle.manifest.max_batch)

    monkeypatch.setattr(module, "build_plan", compiled)
    monkeypatch.setattr(module, "as_engine", engine)
    monkeypatch.setattr(module, "candidates", lambda: [Candidate("tensorrt", None)])
    paths = []
    for plan in (PlanOptions(), PlanOptions(dla=1, opt_batch=2), PlanOptions()):
        options = BuildOptions(precision="fp32", target="tensorrt", plan=plan)
        report = build_engine(bundle, read_dataset(parts), options)
        found = engine_key(read_bundle(bundle), "tensorrt", "fp32")  # as `edgead.load` asks for it
        assert lookup(found) == report.plan == f"plan {plan.changes}".encode()
        assert found.options == plan.changes
        assert report.to_json()["gpu_layers"] == ["a (softmax)"]
        paths.append(report.engine)
    assert paths[0] == paths[2] != paths[1]
    assert {options.max_batch for options, _ in seen} == {read_bundle(bundle).manifest.max_batch}
    assert {timings for _, timings in seen} == {TimingKey("tensorrt", "10.3.0", "Fake GPU", "8.7", "12.6")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "openvino", "--dla", "0", "--opt-batch", "2"], "options of TensorRT are given: opt-batch, dla"),
        (["--target", "tensorrt", "--dla", "2"], "no DLA core 2: it has 2"),
        (["--target", "tensorrt", "--opt-batch", "999"], "batches of 1, 999 and 8 are not in order"),
        (["--target", "tensorrt", "--compute-capability", "8.6"], "builds for the GPU of this machine alone"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_read(trt, bundle, parts, options, said, monkeypatch):
    monkeypatch.setattr(module, "assign_roles", lambda *_: pytest.fail("it goes on"))
    before = read_bundle(bundle)
    answer = CliRunner().invoke(build_engine_command, [str(bundle), "--calib-data", str(parts), *options])
    assert isinstance(answer.exception, EngineError)
    assert said in str(answer.exception)
    assert read_bundle(bundle) == before


def test_every_option_has_its_place_on_the_command_line():
    text = CliRunner().invoke(build_engine_command, ["--help"]).output
    names = {entry.name.replace("_", "-") for entry in fields(PlanOptions)} - {"max-batch", "compute-capabilities"}
    assert all(f"--{name} " in text or f"--{name}\n" in text for name in names - {"plugins"})
    assert "--compute-capability X.Y" in text and "--no-plugins" in text
