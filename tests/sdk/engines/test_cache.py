"""The engine cache: never the truth, never another device's, never half-written."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import fields, replace

import numpy as np
import pytest

import edgead
from edgead.archive import read_archive, write_archive
from edgead.bundle import read_bundle
from edgead.engines import cache, openvino
from edgead.engines.cache import EngineKey, entry_path, lookup, store
from edgead.engines.onnxruntime import OnnxRuntimeEngine
from edgead.engines.targets import TARGETS, candidates, choose
from edgead.errors import EngineError, EngineUnavailable, FrameError

KEY = EngineKey("ab" * 32, "int8", 1, 8, "openvino", "2026.1", "Some CPU", "8.6", "580", {"hint": "latency"})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_comes_back_under_its_key_alone():
    store(KEY, b"engine")
    assert lookup(KEY) == b"engine"
    for entry in fields(EngineKey):
        value = getattr(KEY, entry.name)
        other = {"hint": "x"} if entry.name == "options" else value + 1 if isinstance(value, int) else value + "x"
        changed = replace(KEY, **{entry.name: other})
        assert changed.digest != KEY.digest
        assert lookup(changed) is None


def test_another_devices_engine_under_this_name_is_not_loaded(caplog):
    foreign = replace(KEY, device="Another CPU")
    store(foreign, b"engine")
    entry_path(foreign).rename(entry_path(KEY))
    assert lookup(KEY) is None
    assert "another device" in caplog.text


@pytest.mark.parametrize("place", [0, 30, 200, -30])
def test_a_damaged_entry_counts_as_none(place, caplog):
    path = store(KEY, b"engine" * 100)
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    assert lookup(KEY) in (None, b"engine" * 100)
    path.write_bytes(content[: len(content) // 2])
    assert lookup(KEY) is None
    assert "built again" in caplog.text


def test_an_altered_engine_with_a_sound_archive_is_not_loaded():
    path = store(KEY, b"engine")
    write_archive(path, {**read_archive(path), "engine.bin": b"hostile"})
    assert lookup(KEY) is None


def test_a_header_that_is_no_header_is_not_loaded():
    path = store(KEY, b"engine")
    for header in (b"[]", b"{}", b"null", json.dumps({"key": 1, "sha256": 2}).encode()):
        write_archive(path, {"key.json": header, "engine.bin": b"engine"})
        assert lookup(KEY) is None


def test_load_rebuilds_what_is_damaged(fp32_bundle, folder):
    with edgead.load(fp32_bundle, target="openvino"):
        (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:100])
    with edgead.load(fp32_bundle, target="openvino") as detector:
        assert np.isfinite(detector(np.zeros((64, 64, 3), np.uint8)).raw_score)
    assert len(entry.read_bytes()) > 1000
    assert [path.name for path in folder.iterdir()] == [entry.name]


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_cache_is_an_error_to_build_and_none_to_run(fp32_bundle, folder, caplog):
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(EngineError, match="EDGEAD_CACHE"):
        store(KEY, b"engine")
    with edgead.load(fp32_bundle, target="openvino"):
        assert "EDGEAD_CACHE" in caplog.text


def test_a_cache_that_cannot_be_made_is_an_error_to_build_and_none_to_run(fp32_bundle, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EngineError, match="EDGEAD_CACHE"):
        store(KEY, b"engine")
    with edgead.load(fp32_bundle, target="openvino"):
        assert "cannot be written" in caplog.text


def test_the_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGEAD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache.cache_folder() == tmp_path / "edgead"


@pytest.fixture(scope="module")
def graph(fp32_bundle):
    return read_bundle(fp32_bundle).graph("fp32")


@pytest.mark.parametrize("count", [1, 3, 8])
def test_openvino_answers_as_onnx_runtime(graph, count):
    images = np.random.default_rng(count).integers(0, 256, (count, 64, 64, 3), np.uint8)
    with (
        openvino.OpenVinoEngine(openvino.compile_graph(graph), max_batch=8) as engine,
        OnnxRuntimeEngine(graph, max_batch=8) as reference,
    ):
        answer, expected = engine.infer(images), reference.infer(images)
        assert engine.size == reference.size == (64, 64)
        for wrong in (images[:, :32], np.zeros((9, 64, 64, 3), np.uint8), images.astype(np.float32)):
            with pytest.raises(FrameError):
                engine.infer(wrong)
    for name in ("score", "anomaly_map"):
        np.testing.assert_allclose(answer[name], expected[name], rtol=1e-4, atol=1e-6)


def test_answers_are_kept_when_the_engine_runs_again(graph):
    with openvino.OpenVinoEngine(openvino.compile_graph(graph), max_batch=1) as engine:
        first = engine.infer(np.zeros((1, 64, 64, 3), np.uint8))
        kept = {name: values.copy() for name, values in first.items()}
        engine.infer(np.full((1, 64, 64, 3), 255, np.uint8))
    for name, values in kept.items():
        assert np.array_equal(first[name], values)


def test_what_is_no_engine_or_no_graph_is_refused():
    with pytest.raises(EngineError, match="cannot load"), openvino.OpenVinoEngine(b"nonsense", max_batch=1):
        pass
    with pytest.raises(EngineError, match="cannot compile"):
        openvino.compile_graph(b"nonsense")
    with pytest.raises(EngineError, match="cannot load"), OnnxRuntimeEngine(b"nonsense", max_batch=1):
        pass


def test_an_engine_runs_only_inside_its_block(graph):
    engine = openvino.OpenVinoEngine(openvino.compile_graph(graph), max_batch=1)
    with pytest.raises(EngineError, match="with"):
        engine.infer(np.zeros((1, 64, 64, 3), np.uint8))


def test_choosing_says_why_others_were_skipped():
    assert [candidate.target for candidate in candidates()] == list(TARGETS)
    assert choose("openvino") == "openvino"
    with pytest.raises(EngineUnavailable, match="choose auto"):
        choose("abacus")
    missing = [candidate for candidate in candidates() if candidate.reason]
    for candidate in missing:
        with pytest.raises(EngineUnavailable, match=r"doctor"):
            choose(candidate.target)


@pytest.mark.parametrize(
    ("runtime", "fact", "called"),
    [("openvino", "avx2 avx_vnni", "instruction sets"), ("tensorrt", "8.7", "compute capability")],
)
def test_what_keeps_an_engine_from_running_here_has_the_name_of_the_device_s_kind(runtime, fact, called):
    here = replace(KEY, runtime=runtime, compute_capability=fact)
    store(replace(here, compute_capability="less"), b"engine")
    said = cache.describe_foreign(here)
    assert said == f"the cache has one built on 'Some CPU' ({called} 'less' there, {fact!r} here)"
