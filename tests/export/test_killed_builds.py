"""Builds that are killed, interrupted, or run two at once: bundles are whole, and no engine is left of half a build."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead.archive import read_archive
from edgead.bundle import read_bundle
from edgead.cli.main import main
from edgead.data.layout import read_dataset
from edgead.engines.cache import EngineKey, lookup
from edgead.errors import BundleError
from edgead.export.build import build_engine
from edgead.export.options import BuildOptions

# Each line of its input is a command, run by `edgead` in a process of its own. It tells that process' number, and when
# it has ended, with what. The imports, most of the time of a command, are done once. step: the process kills itself
# before it opens, names, changes or removes something in the folder for the so-manieth time. limit: bytes of a file
# that is written there; one more kills the process, or where `full` is an error, as on a disk that is full.
FORGE = """
import json, os, resource, signal, sys
from edgead.cli import build_engine, main

def watch(folder, step, limit):
    def hook(event, arguments, left=[step]):
        if event in ("open", "os.rename", "os.remove", "os.chmod", "os.mkdir"):
            names = [os.fspath(a) for a in arguments if isinstance(a, (str, os.PathLike))]
            if any(name.startswith(folder) for name in names):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                if limit and any("partial" in name for name in names):
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.addaudithook(hook)

print("ready", flush=True)
for line in sys.stdin:
    arguments, folder, step, limit, full = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        sys.stdin.readline()  # until then a process that has ended keeps its number
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    signal.alarm(60)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ["EDGEAD_CACHE"] = os.path.join(folder, "cache")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN if full else signal.SIG_DFL)
    watch(folder, step, limit)
    code = 130
    try:
        main.main(arguments)
    except SystemExit as ended:
        code = ended.code
    os._exit(code)  # what a library tidies up at the end waits for threads that did not come along
"""


class Forge:
    """Runs builds in processes that can be killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._read() == "ready"

    def build(
        self, place, precision, *, after=None, number=signal.SIGKILL, step=0, limit=0, full=False
    ) -> tuple[int, float]:
        """The exit code of a build and its seconds; after some of them it gets a signal."""
        command = [[str(word) for word in place.command(precision)], str(place.folder), step, limit, full]
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        child, begin = int(self._read()), time.monotonic()
        if after is not None:
            time.sleep(after)
            os.kill(child, number)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        code = int(self._read())
        return code, time.monotonic() - begin

    def _read(self) -> str:
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.stdin.close()
        assert self._process.wait(timeout=20) == 0


@pytest.fixture(scope="module")
def forge():
    forge = Forge()
    yield forge
    forge.close()


class Place:
    """A bundle and an engine cache in a folder of their own."""

    def __init__(self, folder: Path, bundle: Path, parts: Path) -> None:
        self.folder, self.parts = folder, parts
        self.bundle, self.cache = folder / "part.edgead", folder / "cache"
        folder.mkdir()
        shutil.copy(bundle, self.bundle)
        self.first = self.bundle.read_bytes()

    def command(self, precision):
        options = ["--precision", precision, "--target", "openvino", "--calib-data", self.parts]
        return ["build-engine", self.bundle, *options]

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}

    def accepted(self) -> list[EngineKey]:
        """The keys of all engines that the cache would give away."""
        keys = []
        for path in self.cache.glob("*") if self.cache.exists() else []:
            if not path.name.endswith(".partial"):
                keys.append(EngineKey(**json.loads(read_archive(path)["key.json"])["key"]))
                assert lookup(keys[-1]) is not None
        return keys

    def check_whole(self, *precisions) -> None:
        """The bundle has these precisions, verified, and the cache their engines; they run; nothing else is there."""
        read = read_bundle(self.bundle)
        for precision in precisions:
            assert read.manifest.variant(precision).verification["target"] == "openvino"
            with edgead.load(self.bundle, target="openvino", precision=precision, build=False) as detector:
                assert np.isfinite(detector(np.zeros((64, 64, 3), np.uint8)).raw_score)
        graphs = {hashlib.sha256(read.graph(precision)).hexdigest() for precision in precisions}
        kept = self.accepted()
        assert {key.graph for key in kept} == graphs
        assert set(self.files()) == {"part.edgead", *(f"cache/{key.digest}.engine" for key in kept)}

    def check_killed(self, precision) -> bool:
        """What holds after a build that was killed at any moment; whether it has left anything."""
        if self.bundle.read_bytes() == self.first:
            assert self.accepted() == []
        else:
            read = read_bundle(self.bundle)
            assert read.manifest.preferred == precision
            assert read.manifest.variant(precision).verification["target"] == "openvino"
            graph = hashlib.sha256(read.graph(precision)).hexdigest()
            assert [key.graph for key in self.accepted()] in ([], [graph])
        return self.files() != {"part.edgead": self.first}


@pytest.fixture
def place(tmp_path, fp32_bundle, parts, monkeypatch):
    """Makes places; this process uses the cache of the last."""

    def make() -> Place:
        made = Place(tmp_path / str(len(list(tmp_path.iterdir()))), fp32_bundle, parts)
        monkeypatch.setenv("EDGEAD_CACHE", str(made.cache))
        return made

    return make


def rebuild(place: Place, precision: str) -> None:
    build_engine(place.bundle, read_dataset(place.parts), BuildOptions(precision=precision, target="openvino"))
    place.check_whole(precision)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_build_that_is_killed_leaves_the_bundle_and_no_engine(place, forge, precision):
    whole = place()
    code, seconds = forge.build(whole, precision)
    assert code == 0
    whole.check_whole(precision)
    random = np.random.default_rng(["fp32", "fp16", "int8"].index(precision))
    # Inside the import of a library, Ctrl-C is an error of that import.
    codes = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15,), signal.SIGINT: (130, 1)}
    moments = (np.arange(9) + random.uniform(size=9)) / 9 * seconds  # one in each ninth of the build
    for index, after in enumerate(moments):
        killed, number = place(), list(codes)[index % 3]
        code, _ = forge.build(killed, precision, after=after, number=number)
        assert code in (0, *codes[number])
        if killed.check_killed(precision) or index > 6:
            rebuild(killed, precision)


@pytest.mark.slow
def test_a_build_may_be_killed_at_every_step_on_the_disk(place, forge):
    """In fp32, whose graph the bundle has from the first: an engine of half a build would be taken for that one's."""
    precision = "fp32"
    step, code, left = 0, -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        step, killed = step + 1, place()
        code, _ = forge.build(killed, precision, step=step)
        if code and killed.check_killed(precision):
            left += 1
            rebuild(killed, precision)
    assert code == 0
    killed.check_whole(precision)
    assert step > 12 and left > 6, "the build was killed while it wrote"


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True])
def test_a_build_may_be_killed_while_it_writes_or_find_the_disk_full(place, forge, full):
    """Within the engine, and within the bundle, which in INT8 is the larger of the two."""
    whole = place()
    assert forge.build(whole, "int8")[0] == 0
    bundle, engine = (len(whole.files()[name]) for name in sorted(whole.files(), key=lambda name: "cache" in name))
    assert engine < bundle - 1
    for limit in (engine // 2, engine + 1, bundle - 1):
        killed = place()
        code, _ = forge.build(killed, "int8", limit=limit, full=full)
        assert code == (1 if full else -signal.SIGXFSZ)
        assert killed.bundle.read_bytes() == killed.first
        assert killed.check_killed("int8") != full, "what is written is left behind by who is killed alone"
    rebuild(killed, "int8")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_command_may_be_killed_from_its_first_moment(place, number):
    """The program as users start it; most of the time it imports."""
    killed = place()
    program = [sys.executable, "-m", "edgead.cli.main", *map(str, killed.command("int8"))]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(float(np.random.default_rng(number).uniform(0.1, 3)))
    process.send_signal(number)
    process.communicate(timeout=60)
    killed.check_killed("int8")


@pytest.mark.slow
@pytest.mark.parametrize("precisions", [("int8", "int8"), ("fp16", "int8")])
def test_two_builds_at_once_both_end_well(place, precisions):
    shared = place()
    programs = [
        subprocess.Popen(
            [sys.executable, "-m", "edgead.cli.main", *map(str, shared.command(precision))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for precision in precisions
    ]  # fmt: skip
    for process in programs:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    shared.check_whole(*set(precisions))


def test_what_another_build_has_added_meanwhile_stays(place, parts):
    """A whole build of fp16 while one of fp32 compares its answers, and so holds an older bundle."""
    shared, data, inner = place(), read_dataset(parts), []

    def between(what: str, done: int, total: int) -> None:
        if what == "running onnxruntime" and not inner:
            inner.append(build_engine(shared.bundle, data, BuildOptions(precision="fp16", target="openvino")))

    build_engine(shared.bundle, data, BuildOptions(precision="fp32", target="openvino"), progress=between)
    shared.check_whole("fp16", "fp32")
    assert read_bundle(shared.bundle).manifest.variant("fp16") == inner[0].bundle.manifest.variant("fp16")


@pytest.mark.parametrize("meanwhile", ["another", "none"])
def test_a_bundle_that_is_another_detectors_meanwhile_is_refused(place, parts, meanwhile):
    shared = place()
    other = read_bundle(shared.bundle)
    training = {**other.manifest.training, "seed": 12345}
    other = type(other)(type(other.manifest)(**{**vars(other.manifest), "training": training}), other.members)

    def between(what: str, done: int, total: int) -> None:
        if what == "running onnxruntime":
            other.write(shared.bundle) if meanwhile == "another" else shared.bundle.unlink(missing_ok=True)

    options = BuildOptions(precision="fp16", target="openvino")
    with pytest.raises(BundleError, match="exported again" if meanwhile == "another" else "cannot be changed"):
        build_engine(shared.bundle, read_dataset(parts), options, progress=between)
    assert [name for name in shared.files() if name != "part.edgead"] == []
    if meanwhile == "another":
        assert read_bundle(shared.bundle).digest == other.digest


def test_a_cache_that_cannot_be_written_leaves_the_bundle(place, parts, monkeypatch, capsys):
    shared = place()
    (shared.folder / "file").write_text("no folder")
    monkeypatch.setenv("EDGEAD_CACHE", str(shared.folder / "file" / "cache"))
    with pytest.raises(SystemExit):
        main([str(word) for word in shared.command("fp32")])
    assert "EDGEAD_CACHE" in capsys.readouterr().err
    assert shared.files() == {"part.edgead": shared.first, "file": b"no folder"}
