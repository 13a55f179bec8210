"""An engine that this machine lacks: built again, or refused with what differs from the one that is there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

import edgead
from edgead import loading
from edgead.bundle import read_bundle
from edgead.cli import rebuilding
from edgead.engines import cache, openvino, tensorrt
from edgead.errors import EngineError
from edgead.loading import engine_key, find_engine

BLACK = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(bundle, **settings):
    with edgead.load(bundle, target="openvino", **settings) as detector:
        return detector(BLACK).raw_score


@pytest.fixture
def elsewhere(fp32_bundle):
    """Fills the cache as a machine does whose facts are given."""

    def fill(**facts: str) -> None:
        with pytest.MonkeyPatch.context() as machine:
            for name, value in facts.items():
                machine.setattr(openvino, name, lambda value=value: value)
            load(fp32_bundle)

    return fill


def test_without_an_engine_no_build_is_an_error_that_says_what_to_run(fp32_bundle, folder):
    with pytest.raises(EngineError) as refused:
        load(fp32_bundle, build=False)
    assert "no openvino engine was built for this device, " in str(refused.value)
    assert f"`edgead build-engine {fp32_bundle} --target openvino --precision fp32`" in refused.value.todo
    assert not folder.exists()
    score = load(fp32_bundle)
    assert load(fp32_bundle, build=False) == score


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"runtime_version": "2019.1"}, ["runtime version '2019.1' there, '{version}' here"]),
        ({"device_name": "Another CPU"}, ["device 'Another CPU' there, '{device}' here"]),
        (
            {"device_name": "Another CPU", "runtime_version": "2019.1"},
            ["device 'Another CPU' there", "runtime version '2019.1' there"],
        ),
    ],
)
def test_an_engine_of_another_machine_is_named_and_built_again(fp32_bundle, folder, elsewhere, caplog, facts, said):
    here = {"version": openvino.runtime_version(), "device": openvino.device_name()}
    elsewhere(**facts)
    assert caplog.text == ""
    with pytest.raises(EngineError) as refused:
        load(fp32_bundle, build=False)
    built_on = facts.get("device_name", here["device"])
    for text in (f"built on {built_on!r}", *(line.format(**here) for line in said)):
        assert text in refused.value.what
    assert refused.value.what.count(" there, ") == len(said)
    assert len(list(folder.iterdir())) == 1
    seen = []
    load(fp32_bundle, progress=lambda *step: seen.append(step))
    assert refused.value.what.rpartition("and the cache")[2] in caplog.text and "edgead verify" in caplog.text
    assert seen == [("compiling", 0, 1), ("compiling", 1, 1)]
    assert len(list(folder.iterdir())) == 2
    seen.clear()
    load(fp32_bundle, build=False, progress=lambda *step: seen.append(step))
    assert seen == []


def test_the_nearest_of_several_is_named(fp32_bundle, elsewhere):
    elsewhere(device_name="Far CPU", runtime_version="2019.1")
    elsewhere(runtime_version="2020.2")
    with pytest.raises(EngineError) as refused:
        load(fp32_bundle, build=False)
    assert "2020.2" in str(refused.value) and "Far CPU" not in str(refused.value)


def test_engines_of_other_graphs_precisions_and_runtimes_are_not_named(fp32_bundle, folder):
    key = engine_key(read_bundle(fp32_bundle), "openvino", "fp32")
    for other in ({"graph": "ab" * 32}, {"precision": "int8"}, {"runtime": "tensorrt"}):
        cache.store(replace(key, device="Another CPU", **other), b"engine")
    for number, content in enumerate((b"", b"nonsense")):
        (folder / f"{number}.engine").write_bytes(content)
    assert cache.describe_foreign(key) == ""
    cache.store(replace(key, device="Another CPU"), b"engine")
    assert "Another CPU" in cache.describe_foreign(key)


def test_the_stream_ends_with_no_build_and_builds_without(fp32_bundle, elsewhere, edgead, capsys):
    elsewhere(runtime_version="2019.1")
    command = ("stream", fp32_bundle, "--camera", "synthetic://?frames=2&size=64", "--target", "openvino", "--quiet")
    from edgead.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main([*map(str, command), "--no-build"])
    error = capsys.readouterr().err
    assert ended.value.code == 1
    assert error.startswith("error: no openvino engine was built for this device, and the cache has one built on ")
    assert "runtime version '2019.1' there" in error and error.count("\n") == 1
    edgead(*command)
    edgead(*command, "--no-build")


@pytest.fixture
def jetson(stand_in, monkeypatch):
    """A machine with a stand-in GPU and the name of a library; sets the version of its driver or library."""
    trt = ModuleType("tensorrt")
    trt.__version__ = "10.3.0"
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    tensorrt.bindings.cache_clear()

    def change(driver: int = 12060, version: str = "10.3.0") -> None:
        monkeypatch.setattr(stand_in, "get_driver_version", lambda: driver)
        trt.__version__ = version

    yield change
    tensorrt.bindings.cache_clear()


def open_tensorrt(bundle, build, target="tensorrt", progress=lambda *_: None):
    found = find_engine(read_bundle(bundle), target, "fp32", where="part.edgead", build=build, progress=progress)
    if found.built:
        found.keep()
    return found


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"driver": 12080}, "(driver '12.6' there, '12.8' here)"),
        ({"version": "10.16.1"}, "(runtime version '10.3.0' there, '10.16.1' here)"),
    ],
)
def test_a_tensorrt_engine_is_built_again_after_an_update(fp32_bundle, jetson, folder, caplog, facts, said):
    built = []

    def build(graph, key, progress):
        built.append((graph, key))
        progress("building", 1, 1)
        return b"plan"

    for refusing in (False, True):  # True: by what the runtime alone can do
        with pytest.raises(EngineError, match=r"no tensorrt engine was built for this device, part\.edgead, run"):
            open_tensorrt(fp32_bundle, refusing)
    open_tensorrt(fp32_bundle, build)
    assert "none is there; the tensorrt engine is built for this device now" in caplog.text
    open_tensorrt(fp32_bundle, False)
    jetson(**facts)
    for refusing in (False, True):
        with pytest.raises(EngineError) as refused:
            open_tensorrt(fp32_bundle, refusing)
        assert f"the cache has one built on 'Fake GPU' {said}" in refused.value.what
        assert "edgead build-engine part.edgead --target tensorrt --precision fp32" in refused.value.todo
    seen = []
    open_tensorrt(fp32_bundle, build, progress=lambda *step: seen.append(step))
    assert seen == [("building", 1, 1)]
    assert said in caplog.text and "edgead verify part.edgead" in caplog.text
    open_tensorrt(fp32_bundle, False)
    bundle = read_bundle(fp32_bundle)
    assert [graph for graph, _ in built] == [bundle.graph("fp32")] * 2
    assert built[1][1] == engine_key(bundle, "tensorrt", "fp32") != built[0][1]
    assert len(list(folder.iterdir())) == 2


def test_a_build_that_fails_keeps_nothing(fp32_bundle, jetson, folder):
    def build(graph, key, progress):
        raise EngineError("the graph is refused", "tensorrt")

    with pytest.raises(EngineError, match="the graph is refused"):
        open_tensorrt(fp32_bundle, build)
    assert not folder.exists()


def test_the_stream_builds_a_real_plan(fp32_bundle, stand_in, folder):
    """With TensorRT for RTX, whose builder needs no GPU."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    seen = []
    open_tensorrt(fp32_bundle, rebuilding.build, "tensorrt-rtx", lambda what, done, total: seen.append((done, total)))
    key = engine_key(read_bundle(fp32_bundle), "tensorrt-rtx", "fp32")
    assert len(cache.lookup(key)) > 10_000
    assert seen[-1][0] == seen[-1][1]


def test_an_engine_with_options_is_not_built_again_without(fp32_bundle, jetson):
    key = replace(engine_key(read_bundle(fp32_bundle), "tensorrt", "fp32"), options={"plugins": "ab" * 32, "dla": "0"})
    with pytest.raises(EngineError, match="built with options: dla, tensorrt, run `edgead build-engine` again"):
        rebuilding.build(b"", key, lambda *_: None)
    with pytest.raises(EngineError, match="built with options: plugins"):
        rebuilding.build(b"", replace(key, options={"plugins": "False"}), lambda *_: None)


def test_what_the_builder_needs_is_named(fp32_bundle, jetson, monkeypatch):
    monkeypatch.setitem(sys.modules, "edgead.export.tensorrt", None)
    with pytest.raises(EngineError, match=r"is not installed, tensorrt, run `pip install"):
        open_tensorrt(fp32_bundle, rebuilding.build)


def test_an_engine_in_the_cache_that_does_not_load_is_built_again(fp32_bundle, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    bundle = read_bundle(fp32_bundle)
    cache.store(engine_key(bundle, "openvino", "fp32"), b"of other instructions")
    with pytest.raises(EngineError, match="cannot load the engine"):
        load(fp32_bundle, build=False)
    load(fp32_bundle)
    assert "built again" in caplog.text
    load(fp32_bundle, build=False)


def test_one_that_cannot_be_removed_from_the_cache_is_not_asked_for_again(fp32_bundle, tmp_path, monkeypatch, caplog):
    """As in a container whose cache came with the image, and is read-only."""
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    cache.store(engine_key(read_bundle(fp32_bundle), "openvino", "fp32"), b"of other instructions")
    monkeypatch.setattr(cache, "discard", lambda key: None)
    monkeypatch.setattr(cache, "store", refuse)
    assert np.isfinite(load(fp32_bundle))
    assert caplog.text.count("built again") == 1


def refuse(*_):
    raise EngineError("the cache cannot be written", "cache")


def test_processes_that_build_at_once_share_what_they_built(fp32_bundle, folder):
    code = f"import edgead; edgead.load({str(fp32_bundle)!r}, target='openvino').close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    (entry,) = folder.iterdir()
    assert entry.suffix == ".engine"
    load(fp32_bundle, build=False)


def test_an_engine_is_kept_once_it_was_tried(fp32_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))

    def fails(*_, **__):
        raise MemoryError

    monkeypatch.setattr(loading, "Detector", fails)
    with pytest.raises(MemoryError):
        load(fp32_bundle)
    assert not list(tmp_path.glob("*.engine"))
