"""A disk that does not answer: the line goes on, nothing is lost, and it is said."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgead.errors import SinkError
from edgead.frame import Frame
from edgead.histogram import Histogram
from edgead.result import Result, Verdict
from edgead.sinks import aside, images, jsonl, lane, open_sink, spool, spooled, writer
from edgead.sinks.aside import Aside
from edgead.sinks.audit import audit
from edgead.sinks.images import image_folder
from edgead.sinks.spool import count_waiting
from edgead.sinks.spooled import spool_of
from edgead.sinks.sqlite import SqliteSink
from edgead.sinks.writer import SinkWriter

Make = Callable[..., tuple[Result, Frame]]
COUNT = 300


class Disk:
    """Calls of the system on files whose path holds a word do not come back until `answer`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._word, self._answers = "", threading.Event()
        for name in ("fsync", "write"):
            monkeypatch.setattr(os, name, self._held(name, getattr(os, name)))
        self._call = ""

    def _held(self, name: str, real: Callable[..., int]) -> Callable[..., int]:
        def call(handle: int, *rest: object) -> int:
            if name == self._call and self._word in os.readlink(f"/proc/self/fd/{handle}"):  # noqa: PTH115
                self._answers.wait(60)
            return real(handle, *rest)

        return call

    def hang(self, call: str, word: str) -> None:
        self._word, self._call = word, call

    def answer(self) -> None:
        self._call = ""
        self._answers.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setattr(spooled, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(spool, "SYNC_SECONDS", 0.02)
    monkeypatch.setattr(jsonl, "SYNC_SECONDS", 0.02)
    made = Disk(monkeypatch)
    yield made
    made.answer()


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.005)


def started(path: Path) -> tuple[SinkWriter, list[BaseException]]:
    errors: list[BaseException] = []
    made = SinkWriter([open_sink(path)], Histogram(), errors.append)
    made.start()
    return made, errors


def frames(path: Path) -> list[int]:
    """Of the verdicts that are kept, in their order."""
    if path.suffix == ".jsonl":
        return [json.loads(line)["frame_id"] for line in path.read_bytes().splitlines()]
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT frame_id FROM verdicts ORDER BY id")]


@pytest.mark.parametrize(
    ("name", "call", "word"),
    [
        ("results.sqlite", "fsync", ".images"),
        ("results.sqlite", "fsync", ".spool"),
        ("results.sqlite", "fsync", ""),
        ("results.sqlite", "write", ".spool"),
        ("results.jsonl", "fsync", ".jsonl"),
        ("results.jsonl", "write", ".jsonl"),
    ],
)
def test_whatever_hangs_the_line_goes_on_and_nothing_is_lost(
    tmp_path: Path,
    make_result: Make,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    call: str,
    word: str,
) -> None:
    for module in (aside, lane):
        monkeypatch.setattr(module, "HELD_SECONDS", 0.2)
    path = tmp_path / name
    run, errors = started(path)
    for number in range(20):
        run.put(make_result(number))
        time.sleep(0.002)
    disk.hang(call, word)
    for number in range(20, COUNT):
        begin = time.monotonic()
        run.put(make_result(number))
        assert time.monotonic() - begin < 1
        time.sleep(0.002)
    wait_for(lambda: any("does not answer" in told or "takes nothing for" in told for told in run.troubles.values()))
    assert list(run.troubles) == [str(path)]
    if (call, path.suffix) == ("fsync", ".sqlite"):  # the system has every record: none would be lost by a kill
        wait_for(lambda: count_waiting(spool_of(path)) + len(frames(path)) == COUNT)
    run.put(make_result(COUNT))
    disk.answer()
    run.finish()
    assert errors == [] and run.troubles == {}
    assert frames(path) == list(range(COUNT + 1))
    assert "does not answer" in caplog.text or "takes nothing for" in caplog.text
    if path.suffix == ".sqlite":
        found = audit(path)
        assert found.broken is None and found.kinds["verdict"] == COUNT + 1
        assert found.images == len(list(image_folder(path).glob("[!.]*")))


def test_a_picture_that_is_written_after_all_is_removed(
    tmp_path: Path, make_result: Make, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(aside, "HELD_SECONDS", 0.05)
    path = tmp_path / "results.sqlite"
    with SqliteSink(path, pictures=images.Pictures()) as sink:
        sink.write(*make_result(0))
        disk.hang("fsync", ".images")
        begin = time.monotonic()
        for number in (1, 2):
            sink.write(*make_result(number))
        assert 0.1 <= time.monotonic() - begin < 1  # it waits for one of them, as long as the line allows
        disk.answer()
        wait_for(lambda: sink.trouble == "" and len(list(image_folder(path).iterdir())) == 1)
        sink.write(*make_result(3))
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT json_extract(record, '$.image') FROM records WHERE record LIKE '%verdict%'")
        said = [json.loads(row[0]) for row in rows]
    assert [set(image) for image in said] == [{"file", "sha256"}, {"missing"}, {"missing"}, {"file", "sha256"}]
    assert all("the disk does not answer for" in image["missing"] for image in said[1:3])
    assert audit(path).broken is None and audit(path).images == 2


def test_a_line_that_falls_behind_does_not_wait_for_a_picture(tmp_path: Path, make_result: Make, disk: Disk) -> None:
    with SqliteSink(tmp_path / "results.sqlite", pictures=images.Pictures()) as sink:
        disk.hang("fsync", ".images")
        threading.Timer(0.1, setattr, (sink, "behind", True)).start()
        begin = time.monotonic()
        sink.write(*make_result(0))
        assert time.monotonic() - begin < 1
        disk.answer()


def test_a_slow_disk_costs_no_picture(tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes as long as six frames, on a line that waits for none of it: a reject now and then is kept."""
    real = os.fsync

    def slow(handle: int) -> None:
        time.sleep(0.06 if ".images" in os.readlink(f"/proc/self/fd/{handle}") else 0)  # noqa: PTH115
        real(handle)

    monkeypatch.setattr(os, "fsync", slow)
    path = tmp_path / "results.sqlite"
    run, errors = started(path)
    for number in range(90):
        run.put(make_result(number, Verdict.REJECT if number % 30 == 5 else Verdict.ACCEPT))
        time.sleep(0.02)
    run.finish()
    assert errors == [] and frames(path) == list(range(90))
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute('SELECT record FROM records WHERE record LIKE \'%"verdict":"reject"%\'')
        assert [set(json.loads(row[0])["image"]) for row in rows] == [{"file", "sha256"}] * 3


def test_what_waits_in_memory_has_a_bound_and_then_the_line_waits(
    tmp_path: Path, make_result: Make, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lane, "BACKLOG", 30)
    path = tmp_path / "results.jsonl"
    run, errors = started(path)
    disk.hang("write", ".jsonl")
    run.put(make_result(0))
    wait_for(lambda: run._lanes[0].waiting == 0)  # it is being written
    for number in range(1, 31):
        run.put(make_result(number))
    line = threading.Thread(target=lambda: [run.put(make_result(number)) for number in range(31, 60)], daemon=True)
    line.start()
    line.join(0.3)
    assert line.is_alive() and "30 records waiting in memory: the line waits for it" in caplog.text
    disk.answer()
    line.join(10)
    run.finish()
    assert errors == [] and frames(path) == list(range(60))


def test_an_end_that_the_disk_does_not_allow_is_said(
    tmp_path: Path, make_result: Make, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "CLOSE_SECONDS", 0.1)
    sink = open_sink(tmp_path / "results.jsonl")
    sink.open()
    sink.write(*make_result(0))
    disk.hang("fsync", ".jsonl")
    with pytest.raises(SinkError, match="the disk does not answer, a power cut may cost what was written last"):
        sink.close()
    sink.close()
    monkeypatch.setattr(writer, "FINISH_SECONDS", 0.2)
    run, _ = started(tmp_path / "other.jsonl")
    disk.hang("write", "other")
    for number in range(20):
        run.put(make_result(number))
    wait_for(lambda: run._lanes[0].waiting == 19)
    with pytest.raises(SinkError, match="19 records are not written"):
        run.finish()
    disk.answer()


def test_a_sync_that_fails_is_an_error_though_nobody_waited(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (spool, jsonl):
        monkeypatch.setattr(module, "SYNC_SECONDS", 0.0)
    for name in ("results.sqlite", "results.jsonl"):
        sink = open_sink(tmp_path / name)
        sink.open()
        real = os.fsync

        def fail(handle: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(SinkError, match="Input/output error"):
            for number in range(200):
                sink.write(*make_result(number))
                time.sleep(0.005)
        monkeypatch.setattr(os, "fsync", real)
        sink.close()


def test_a_sync_that_fails_while_a_record_is_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk holds up both, and they come back together."""
    monkeypatch.setattr(spool, "SYNC_SECONDS", 0.0)
    real, written = os.write, threading.Event()
    made = spool.Spool(tmp_path / "spool")
    made.create()

    def fail(handle: int) -> None:
        written.wait(10)
        raise OSError(5, "Input/output error")

    def held(handle: int, line: bytes) -> int:
        written.set()
        wait_for(lambda: not any(thread.name == "edgead-disk" for thread in threading.enumerate()))
        return real(handle, line)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        made.append(b"{}")
        patched.setattr(os, "write", held)
        made.append(b"{}")
    with pytest.raises(OSError, match="Input/output error"):
        made.append(b"{}")
    made.close()


def test_one_call_at_a_time_and_its_error_once() -> None:
    disk, go = Aside("here"), threading.Event()
    made: list[int] = []
    assert disk.wait(0) and disk.ask(lambda: go.wait(10))
    assert not disk.ask(lambda: made.append(1)) and not disk.wait(0.01)
    assert not disk.finish(lambda: made.append(2), 0.01)
    go.set()
    assert disk.finish(lambda: made.append(3), 10) and made == [3]
    assert disk.ask(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        disk.wait(10)
    assert disk.wait(10)
