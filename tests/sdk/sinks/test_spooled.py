from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.histogram import Histogram
from edgead.result import Result
from edgead.sinks import Sink, open_sink, spooled
from edgead.sinks import sqlite as sqlite_module
from edgead.sinks.audit import audit
from edgead.sinks.records import RecordSink
from edgead.sinks.spool import count_waiting
from edgead.sinks.spooled import SpooledSink
from edgead.sinks.sqlite import SqliteSink
from edgead.sinks.writer import SinkWriter

Make = Callable[..., tuple[Result, Frame]]
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "kill_sinks.py"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooled, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(spooled, "LONGEST_RETRY", 0.05)
    monkeypatch.setattr(spooled, "PAUSE_SECONDS", 0.02)


class Memory(RecordSink):
    """Keeps records in a list, as slowly and as unreliably as it is told, in batches as a database does."""

    def __init__(self, path: Path, *, seconds: float = 0.0, failing: float = 0.0, batch: int = 1) -> None:
        super().__init__(path)
        self.seconds, self.failing, self.batch = seconds, failing, batch
        self.kept: list[bytes] = []
        self.pending: list[bytes] = []
        self.opened = self.closed = 0
        self._chance = random.Random(5)

    def _may_fail(self) -> None:
        if self._chance.random() < self.failing:
            self.pending.clear()
            raise self._failed("no luck")

    def open(self) -> None:
        self.opened += 1

    def keep(self, record: bytes) -> bool:
        time.sleep(self.seconds)
        self._may_fail()
        self.pending.append(record)
        if len(self.pending) >= self.batch:
            self.flush()
        return not self.pending

    def flush(self) -> None:
        self._may_fail()
        self.kept += self.pending
        self.pending.clear()

    def close(self) -> None:
        self.closed += 1
        self.pending.clear()

    @property
    def numbers(self) -> list[int]:
        return [int(json.loads(record)["id"].rpartition("-")[2]) for record in self.kept]


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("failing", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("batch", [1, 7])
def test_a_sink_that_fails_gets_everything_in_order(
    tmp_path: Path, make_result: Make, failing: float, batch: int
) -> None:
    inner = Memory(tmp_path / "memory", failing=failing, batch=batch)
    with SpooledSink(inner) as sink:
        for number in range(40):
            sink.write(*make_result(number))
        wait_for(lambda: sink.waiting == 0)
    assert list(dict.fromkeys(inner.numbers)) == list(range(1, 41))  # doubles may come, holes may not
    assert inner.opened == 1 or failing
    assert list(tmp_path.iterdir()) == []


def test_one_that_comes_and_goes_does_not_fill_the_log(
    tmp_path: Path, make_result: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with SpooledSink(Memory(tmp_path / "memory", failing=0.3)) as sink:
        for number in range(30):
            sink.write(*make_result(number))
        wait_for(lambda: sink.waiting == 0)
    assert len(caplog.records) == 2


def test_a_slow_sink_holds_nothing_up_and_the_next_run_goes_on(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spooled, "CLOSE_SECONDS", 0.2)
    slow = Memory(tmp_path / "memory", seconds=0.02)
    with SpooledSink(slow) as sink:
        begin = time.monotonic()
        for number in range(400):
            sink.write(*make_result(number))
        assert time.monotonic() - begin < 2 < 400 * 0.02
    assert time.monotonic() - begin < 4
    left = sink.waiting
    assert left == count_waiting(tmp_path / "memory.spool")
    assert left == 400 - len(slow.kept) > 200
    assert (
        f"{left} records for {tmp_path / 'memory'} wait in {tmp_path / 'memory.spool'} for the next run" in caplog.text
    )
    fast = Memory(tmp_path / "memory")
    with SpooledSink(fast) as sink:
        sink.lost(LostFrame(400, "line", 0.0, "dark"))
    assert slow.numbers + fast.numbers == [*range(1, 401), 1]
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_somebody_locks(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_SECONDS", 0.02)
    path = tmp_path / "results.sqlite"
    with SpooledSink(SqliteSink(path, batch=10)) as sink, closing(sqlite3.connect(path)) as other:
        for number in range(15):
            sink.write(*make_result(number))
        wait_for(lambda: sink.waiting == 0)
        other.execute("BEGIN IMMEDIATE")
        begin = time.monotonic()
        for number in range(15, 300):
            sink.write(*make_result(number))
        assert time.monotonic() - begin < 2
        wait_for(lambda: "what it did not take waits in" in caplog.text)
        assert sink.waiting == 285
        other.rollback()
        wait_for(lambda: sink.waiting == 0)
    assert "database is locked" in caplog.text and "takes records again" in caplog.text
    with closing(sqlite3.connect(path)) as database:
        assert [row[0] for row in database.execute("SELECT frame_id FROM verdicts ORDER BY id")] == list(range(300))
    found = audit(path)
    assert found.broken is None and found.kinds == {"begin": 1, "verdict": 300, "end": 1}


def test_a_wrong_name_shows_when_the_run_begins(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("text" * 1000)
    with pytest.raises(SinkError, match="cannot open the results database"), open_sink(tmp_path / "text.sqlite"):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["text.sqlite"]


def test_a_spool_that_cannot_be_written_is_an_error_and_costs_one_record(
    small_disk: Callable[[str], Path], tmp_path: Path, make_result: Make
) -> None:
    disk = small_disk("512k")
    inner = Memory(tmp_path / "memory", failing=1.0)
    written = 0
    with (
        pytest.raises(SinkError, match=r"cannot spool, this record is not kept: No space left .*free space"),
        SpooledSink(inner, disk / "spool") as sink,
    ):
        for number in range(10_000):
            sink.write(*make_result(number))
            written += 1
    assert sink.waiting == written > 100
    again = Memory(tmp_path / "memory")
    with SpooledSink(again, disk / "spool"):
        pass
    assert again.numbers == list(range(1, written + 1))


def test_a_mistake_in_a_sink_is_not_retried_but_raised(tmp_path: Path, make_result: Make) -> None:
    class Wrong(Memory):
        def keep(self, record: bytes) -> bool:
            raise ZeroDivisionError

    def write_until(stop: float) -> None:
        with SpooledSink(Wrong(tmp_path / "memory")) as sink:
            while time.monotonic() < stop:
                sink.write(*make_result(0))

    with pytest.raises(SinkError, match="ZeroDivisionError"):
        write_until(time.monotonic() + 10)
    assert (tmp_path / "memory.spool").is_dir()  # what came until then


def test_a_damaged_record_is_passed_over(tmp_path: Path, make_result: Make, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "memory.spool" / "0-run"
    folder.mkdir(parents=True)
    (folder / "1.jsonl").write_bytes(b"\0\0\0\n" + b'{"id":"a-1"}\n[]\n{"id":"a-2"}\n')
    inner = Memory(tmp_path / "memory")
    with SpooledSink(inner):
        pass
    assert inner.numbers == [1, 2] and caplog.text.count("is damaged and passed over") == 2


def test_two_runs_at_once_have_their_own_spools(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with open_sink(path) as one, open_sink(path) as two:
        for number in range(40):
            (one, two)[number % 2].write(*make_result(number))
    found = audit(path)
    assert found.broken is None and found.kinds == {"begin": 2, "verdict": 40, "end": 2}
    assert not (tmp_path / "results.sqlite.spool").exists()


# Through the writer of a stream


def test_what_a_crash_loop_has_left_takes_few_descriptors_and_comes_in_order(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooled, "MOST_LEFT", 3)
    root = tmp_path / "memory.spool"
    left = [f'{{"id":"{run:016x}-1"}}'.encode() for run in range(20)]
    for run, record in enumerate(left):
        folder = root / f"{run:020d}-{run:016x}"
        folder.mkdir(parents=True)
        (folder / "1.jsonl").write_bytes(record + b"\n")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    memory = Memory(tmp_path / "memory", seconds=0.01)
    with SpooledSink(memory, root) as sink:
        sink.write(*make_result())
        assert len(os.listdir("/proc/self/fd")) < before + 3 + 10  # noqa: PTH208 - its own spool, and what reads
    assert memory.kept[:20] == left
    assert len(memory.kept) == 21
    assert not root.exists()


def test_every_sink_of_a_run_gives_a_record_the_same_id(tmp_path: Path, make_result: Make, lost: LostFrame) -> None:
    errors: list[BaseException] = []
    names = ("a.sqlite", "b.sqlite")
    writer = SinkWriter([open_sink(tmp_path / name) for name in names], Histogram(), errors.append)
    writer.start()
    for number in range(20):
        writer.put(make_result(number))
    writer.put(lost)
    writer.finish()
    assert errors == [] and writer.spooled == 0
    ids = []
    for name in names:
        with closing(sqlite3.connect(tmp_path / name)) as database:
            rows = database.execute("SELECT json_extract(record, '$.id') FROM records ORDER BY id").fetchall()
        ids.append([row[0] for row in rows if row[0]])
    assert ids[0] == ids[1] and len(set(ids[0])) == 21


def test_a_sink_that_waits_does_not_keep_others_from_a_record(tmp_path: Path, make_result: Make) -> None:
    inner = Memory(tmp_path / "memory", failing=1.0)
    errors: list[BaseException] = []
    timing = Histogram()
    path = tmp_path / "results.jsonl"
    writer = SinkWriter([SpooledSink(inner), open_sink(path)], timing, errors.append)
    writer.start()
    for number in range(100):
        writer.put(make_result(number))
    assert writer.spooled > 80
    inner.failing = 0.0
    wait_for(lambda: writer.spooled == 0)
    writer.finish()
    assert errors == [] and timing.count == 200
    assert len(path.read_bytes().splitlines()) == 100 and inner.numbers == list(range(1, 101))


def test_a_picture_of_a_camera_skips_rather_than_waits(
    tmp_path: Path, make_result: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Film(Sink):
        may_skip = True

        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.shown: list[int] = []

        def open(self) -> None: ...
        def flush(self) -> None: ...
        def close(self) -> None: ...

        def write(self, result: Result, frame: Frame) -> None:
            time.sleep(0.05)
            self.shown.append(result.frame_id)

        def lost(self, lost: LostFrame) -> None: ...

    film = Film(tmp_path / "film")
    writer = SinkWriter([film], Histogram(), lambda error: None)
    writer.start()
    begin = time.monotonic()
    for number in range(60):
        writer.put(make_result(number))
    assert time.monotonic() - begin < 1 < 60 * 0.05
    writer.finish()
    assert 8 <= len(film.shown) < 40 and film.shown == sorted(film.shown)
    assert f"has skipped {60 - len(film.shown)} frames" in caplog.text


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_kill_9_at_random_moments(options: list[str]) -> None:
    """Twice here; `EDGEAD_KILLS=50` for more. Every claim is checked by the program itself."""
    kills = os.environ.get("EDGEAD_KILLS", "2")
    command = [sys.executable, str(BENCHMARK), "--kills", kills, "--longest", "0.4", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["kills"] == int(kills) and figures["verdicts"] > 0 and figures["faults"] == []
    assert figures["batch"] == 100 and figures["missing_at_most"] <= (100 if options else 0)


def test_on_a_full_disk_everything_that_was_given_is_kept_and_the_run_ends(
    small_disk: Callable[[str], Path], make_result: Make
) -> None:
    """A stream ends at the first word of it; until it has, its verdicts go into the room that was set aside."""
    path = small_disk("8m") / "results.sqlite"
    errors: list[BaseException] = []
    writer = SinkWriter([open_sink(path)], Histogram(), errors.append)
    writer.start()
    given = 0
    for number in range(20_000):
        if number == 50:
            with (
                pytest.raises(OSError, match="No space left"),
                (path.parent / "ballast").open("wb", buffering=0) as file,
            ):
                while file.write(bytes(1 << 12)):
                    pass
        writer.put(make_result(number))
        given += 1
        if errors:
            break
    for number in range(given, given + 20):  # what a stream had on its way
        writer.put(make_result(number))
    writer.finish()
    assert len(errors) == 1 and "the disk is full; what was on its way is kept" in str(errors[0])
    (path.parent / "ballast").unlink()
    again: list[BaseException] = []
    other = SinkWriter([open_sink(path)], Histogram(), again.append)
    other.start()
    wait_for(lambda: other.spooled == 0)
    other.finish()
    assert not again and audit(path).broken is None
    with closing(sqlite3.connect(path)) as database:
        found = [row[0] for row in database.execute("SELECT frame_id FROM results ORDER BY id")]
    assert found == list(range(given + 20))


class Defect(Exception):
    """What nobody expects of a sink."""


@pytest.mark.parametrize("way", ["write", "flush", "close"])
def test_what_ends_the_delivery_is_said_and_raised_once(
    tmp_path: Path, make_result: Make, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    class Broken(Memory):
        def keep(self, record: bytes) -> bool:
            raise Defect("to http://me:secret@mes")

    sink = SpooledSink(Broken(tmp_path / "memory"))
    sink.open()
    sink.write(*make_result(0))
    wait_for(lambda: "delivering has ended: Defect" in caplog.text)
    assert "secret" not in caplog.text
    with pytest.raises(SinkError, match=r"delivering has ended: Defect: .*waits in") as raised:
        sink.write(*make_result(1)) if way == "write" else sink.flush() if way == "flush" else sink.close()
    assert isinstance(raised.value.__cause__, Defect)
    sink.close()
    assert count_waiting(tmp_path / "memory.spool") == 1


def test_a_spool_that_cannot_be_taken_over_ends_the_run(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SpooledSink(Memory(tmp_path / "memory", failing=1.0)) as sink:
        monkeypatch.setattr(spooled, "CLOSE_SECONDS", 0.01)
        sink.write(*make_result(0))

    def refuse(_: SpooledSink, after: str) -> list[object]:
        raise PermissionError(13, "Permission denied")

    sink = SpooledSink(Memory(tmp_path / "memory"))
    sink.open()
    monkeypatch.setattr(SpooledSink, "_abandoned", refuse)
    with pytest.raises(SinkError, match="Permission denied"):
        sink.close()


POISON = [
    b'["id"]', b'"the id"', b'{"id":"x"}', b'{"id":"a-99999999999999999999999"}', b'{"id":"\\ud800-1"}', b"[" * 100_000,
    b'{"id":5}', '{"id":"a-²"}'.encode(), b'{"id":"a-1","x":"\xff"}', b'{"id":null}', b"",
]  # fmt: skip


def test_nothing_in_a_spool_keeps_a_line_from_running(
    tmp_path: Path, make_result: Make, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.sqlite"
    folder = tmp_path / "results.sqlite.spool" / "0-run"
    folder.mkdir(parents=True)
    (folder / "1.jsonl").write_bytes(b"\n".join(POISON) + b'\n{"id":"a-1","kind":"fault"}\n')
    (folder.with_name("1-run") / "1.jsonl").mkdir(parents=True)
    with open_sink(path) as sink:
        sink.write(*make_result(0))
        wait_for(lambda: sink.waiting == 0)
    assert audit(path).kinds == {"begin": 1, "fault": 1, "verdict": 1, "end": 1}
    assert caplog.text.count("is damaged and passed over") == len(POISON)
    assert "1-run cannot be read, it stays as it is: Is a directory" in caplog.text


def test_one_that_hangs_is_said_and_said_again_when_it_goes_on(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spooled, "LATE_SECONDS", 0.1)
    go = threading.Event()

    class Hanging(Memory):
        def keep(self, record: bytes) -> bool:
            go.wait(10)
            return super().keep(record)

    with SpooledSink(Hanging(tmp_path / "memory")) as sink:
        assert sink.trouble == ""
        for number in range(10):
            sink.write(*make_result(number))
            time.sleep(0.02)
        assert f"10 records wait in {tmp_path / 'memory.spool'}" in sink.trouble
        assert caplog.text.count("has taken nothing for") == 1
        go.set()
        wait_for(lambda: sink.waiting == 0)
        assert sink.trouble == "" and "takes records again" in caplog.text


def test_two_sinks_for_one_place_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAD_SPOOL", str(tmp_path))
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "results.sqlite")
    for one, other in (
        ("mqtt://host/line?qos=0", "mqtt://anna:1@host:1883/line?qos=1&client=x"),
        ("https://anna:1@host/x", "https://anna:2@host/x"),
        (str(tmp_path / "results.sqlite"), str(tmp_path / "link.sqlite")),
    ):
        with pytest.raises(SinkError, match="two sinks are for the same place"):
            SinkWriter([open_sink(one), open_sink(other)], Histogram(), lambda error: None)
    for one, other in (("mqtt://host/line", "mqtt://host/line2"), ("https://anna:1@host/x", "https://otto:1@host/x")):
        SinkWriter([open_sink(one), open_sink(other)], Histogram(), lambda error: None)
