"""CUDA graphs by the driver's functions, on a stand-in that knows their signatures; no driver has executed one here."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import numpy as np
import pytest

from edgead import gpu
from edgead.errors import EngineError
from tests.stand_ins.cuda import FakeLibcuda

FUNCTIONS = [name for name in vars(FakeLibcuda) if name.startswith("cu")]


@pytest.fixture
def moved(stand_in):
    """A stream, and a buffer that it takes to the device and back in what `queue` does."""
    with gpu.current():
        stream, buffer = gpu.Stream(), gpu.Buffer((8,), np.int32)
        yield stream, buffer
        buffer.free()


def queue(stream, buffer):
    stream.upload(buffer)
    stream.download(buffer)


def test_a_graph_does_what_was_queued_whenever_it_is_launched(stand_in, moved):
    stream, buffer = moved
    graph = gpu.capture(stream, lambda: stream.download(buffer))
    buffer.host[:] = 7
    stream.upload(buffer)
    buffer.host[:] = 0  # capturing has copied nothing
    assert stand_in.calls.count("cuGraphLaunch") == 0
    for _ in range(2):
        buffer.host[:] = 0
        graph.launch(stream)
        stream.synchronize()
        assert (buffer.host == 7).all()
    graph.close()
    order = [name for name in stand_in.calls if name.startswith("cu")]
    assert order[:4] == [
        "cuStreamBeginCapture_v2",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
    ]


@pytest.mark.parametrize("name", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_a_failure_says_where_and_leaves_the_stream_as_it_was(stand_in, moved, name):
    stand_in.graphs.fail[name] = 900
    with pytest.raises(EngineError, match=rf"{name} failed \(CUDA error 900\)"):
        gpu.capture(moved[0], lambda: queue(*moved))
    assert not stand_in.graphs.live
    queue(*moved)
    moved[0].synchronize()


@pytest.mark.parametrize("refuses", [False, True])
def test_work_that_fails_while_it_is_captured(stand_in, moved, refuses):
    stand_in.graphs.refuses = refuses

    def wait():
        moved[0].synchronize()  # no stream may be waited for while it is captured

    with pytest.raises(EngineError, match=r"cannot be captured .*not permitted"):
        gpu.capture(moved[0], wait)
    assert not stand_in.graphs.live
    queue(*moved)
    moved[0].synchronize()


def test_a_driver_without_graphs_is_named(stand_in, moved, monkeypatch):
    monkeypatch.delattr(FakeLibcuda, "cuGraphInstantiateWithFlags")
    with pytest.raises(EngineError, match=r"no cuGraphInstantiateWithFlags, gpu, install a driver of CUDA 11\.4"):
        gpu.capture(moved[0], lambda: queue(*moved))


def header():
    """The text of cuda.h."""
    roots = [os.environ.get("CUDA_HOME"), "/usr/local/cuda", *map(str, sorted(Path("/usr/local").glob("cuda-*")))]
    for root in filter(None, roots):
        if (found := Path(root) / "include/cuda.h").is_file():
            return found.read_text()
    return pytest.skip("there is no cuda.h")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stand_in_has_the_drivers_signatures(name):
    """As many parameters, and pointers where there are pointers to results. The header declares a function by its plain
    name, and defines that to be the one with the version, which is what the library exports."""
    text = header()
    defined = re.search(rf"#define (\w+)\s+(?:__CUDA_API_PTSZ\()?{name}\b", text)
    declared = defined[1] if defined else name
    given = re.search(rf"^CUresult CUDAAPI {declared}\(([^)]*)\)", text, re.MULTILINE)[1].split(",")
    expected = list(inspect.signature(getattr(FakeLibcuda, name)).parameters.values())[1:]
    assert len(given) == len(expected)
    for text, parameter in zip(given, expected, strict=True):
        assert ("*" in text) == (parameter.annotation is inspect.Parameter.empty)


def test_the_code_calls_what_the_stand_in_has():
    source = Path(gpu.graph.__file__).read_text()
    assert sorted(set(re.findall(r"\bcu[A-Z]\w+", source))) == sorted(FUNCTIONS)
