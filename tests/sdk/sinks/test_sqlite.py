from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result, Verdict
from edgead.sinks import open_sink, spooled
from edgead.sinks.audit import audit
from edgead.sinks.records import canonical
from edgead.sinks.sqlite import SqliteSink

Make = Callable[..., tuple[Result, Frame]]


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return database.execute(statement).fetchall()


@pytest.mark.parametrize("name", ["results.sqlite", "new/results.db"])
def test_every_verdict_region_and_fault_has_its_row(
    tmp_path: Path, make_result: Make, lost: LostFrame, name: str
) -> None:
    path = tmp_path / name
    rejected, frame = make_result(3)
    with open_sink(path) as sink:
        sink.write(rejected, frame)
        sink.write(*make_result(4, Verdict.ACCEPT))
        sink.lost(lost)
    columns = "frame_id, source, captured_at, verdict, pred_score, pred_label, raw_score, bundle, engine"
    view = query(path, f"SELECT {columns} FROM results")
    assert view == [
        (3, "rtsp://cell-4/top", "2023-11-14T22:13:23.250000+00:00", "reject", 0.9, 1, 1.8, "ab" * 32, "cd" * 32),
        (4, "rtsp://cell-4/top", "2023-11-14T22:13:24.250000+00:00", "accept", 0.1, 0, 0.2, "ab" * 32, "cd" * 32),
    ]
    assert json.loads(str(query(path, "SELECT timing FROM verdicts")[0][0])) == {"infer": 1.235, "total": 9.5}
    assert query(path, "SELECT verdict_id, x, y, width, height, area, peak FROM regions") == [
        (2, 32, 24, 32, 12, 384, 2.0)
    ]
    assert query(path, "SELECT frame_id, captured_at, reason FROM faults") == [
        (7, "2023-11-14T22:13:27.500000+00:00", "no frame could be decoded")
    ]
    (times,) = query(path, "SELECT started_at, ended_at FROM runs")
    started, ended = (datetime.fromisoformat(str(at)).timestamp() for at in times)
    assert time.time() - 60 < started <= ended <= time.time()
    # The log is folded in and the spool is gone; the reject has its picture
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.images"]


def test_a_database_is_continued_with_a_new_run(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    for number in range(3):
        with open_sink(path) as sink:
            sink.write(*make_result(number))
    assert query(path, "SELECT run_id, frame_id FROM verdicts") == [(1, 0), (2, 1), (3, 2)]
    assert query(path, "SELECT id, ended_at IS NOT NULL FROM runs") == [(1, 1), (2, 1), (3, 1)]
    assert audit(path).kinds == {"begin": 3, "verdict": 3, "end": 3}


def test_a_database_from_before_engines_were_named_is_continued(tmp_path: Path, make_result: Make) -> None:
    """Its records do not say which engine; the view was ready for it from the start of the schema."""
    path = tmp_path / "results.sqlite"
    with SqliteSink(path) as sink:
        record = json.loads(sink.of_result(*make_result(0)))
        del record["engine"]
        sink.keep(canonical(record))
    with SqliteSink(path) as sink:
        sink.write(*make_result(1))
    assert query(path, "SELECT frame_id, engine FROM verdicts") == [(0, None), (1, "cd" * 32)]
    assert audit(path).broken is None


def test_a_batch_is_committed_when_full_when_old_and_when_told(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.sqlite"
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def seen() -> int:
        return int(str(query(path, "SELECT count(*) FROM verdicts")[0][0]))

    with SqliteSink(path, batch=5) as sink:
        sink.flush()
        sink.write(*make_result(0))
        assert seen() == 1  # the first one is older than any commit
        for number in range(1, 5):
            sink.write(*make_result(number))
        assert seen() == 1
        sink.write(*make_result(5))
        assert seen() == 6
        sink.write(*make_result(6))
        clock[0] += 2
        sink.write(*make_result(7))
        assert seen() == 8
        sink.write(*make_result(8))
        assert seen() == 8
        sink.flush()
        assert seen() == 9


def test_others_read_while_it_writes(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path, batch=100) as sink:
        for number in range(50):
            sink.write(*make_result(number))
        begin = time.monotonic()
        query(path, "SELECT * FROM results")
        assert time.monotonic() - begin < 1


def test_kill_9_leaves_a_whole_database_that_misses_at_most_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    code = """
import sys, time, numpy as np
from edgead.frame import Frame
from edgead.result import Region, Result, Verdict
from edgead.sinks.sqlite import SqliteSink
nothing = np.zeros((2, 2), np.float32)
with SqliteSink(sys.argv[1], batch=50) as sink:
    for number in range(10**9):
        regions = (Region((0, 0, 1, 1), 1, 1.0),) * 2
        sink.write(Result(1.0, True, nothing, nothing > 0, 1.0, Verdict.REJECT, regions, number, "line", 0.0), None)
        print(number, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 775:
            break
    writer.send_signal(signal.SIGKILL)
    told = [int(line) for line in writer.communicate()[0].split()[:-1]] or [775]
    frames = [row[0] for row in query(path, "SELECT frame_id FROM verdicts ORDER BY id")]
    assert frames == list(range(len(frames)))
    assert len(frames) > max(told) - 50
    assert query(path, "SELECT count(*) FROM regions") == [(2 * len(frames),)]
    assert query(path, "SELECT ended_at FROM runs") == [(None,)]
    assert audit(path).broken is None


def test_a_full_disk_keeps_the_committed_and_says_what_is_lost(
    small_disk: Callable[[str], Path], make_result: Make
) -> None:
    path = small_disk("300k") / "results.sqlite"
    written = 0
    with (
        pytest.raises(
            SinkError, match=r"the last \d+ records are not in the database: .*full, .*results\.sqlite, free space"
        ) as raised,
        SqliteSink(path, batch=20) as sink,
    ):
        for number in range(100_000):
            sink.write(*make_result(number))
            written += 1
    cost = int(str(raised.value).split("the last ")[1].split()[0])
    frames = [row[0] for row in query(path, "SELECT frame_id FROM verdicts ORDER BY id")]
    assert frames == list(range(len(frames)))
    assert len(frames) == written + 1 - cost
    assert 0 < cost <= 20 < len(frames)
    assert audit(path).broken is None
    assert query(path, "SELECT count(*) FROM regions") == [(len(frames),)]


def test_a_folder_without_permission_is_an_error(locked_folder: Path) -> None:
    for name in ("results.sqlite", "sub/results.sqlite"):
        with pytest.raises(SinkError, match=r"cannot .*results\.sqlite"), open_sink(locked_folder / name):
            pass
    assert list(locked_folder.iterdir()) == []


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE stock (part TEXT)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(SinkError, match="holds something else than results"), open_sink(path):
        pass
    assert path.read_bytes() == before
    path.write_bytes(b"this is no database, but it is long enough to be taken for one" * 20)
    with pytest.raises(SinkError, match="cannot open the results database"), open_sink(path):
        pass


@pytest.mark.parametrize("schema", [1, 3])
def test_another_schema_is_refused(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "results.sqlite"
    with open_sink(path):
        pass
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {schema}")
    database.close()
    with (
        pytest.raises(SinkError, match=rf"has schema {schema}, this program writes 2, .*give another name"),
        open_sink(path),
    ):
        pass


def test_a_record_that_comes_twice_is_kept_once(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    other = SqliteSink(tmp_path / "other.sqlite")
    made = [other.of_result(*make_result(number)) for number in range(6)]
    with SqliteSink(path, batch=4) as sink:
        for record in (*made[:4], *made[2:5]):
            sink.keep(record)
    with SqliteSink(path) as sink:
        for record in made[3:]:
            sink.keep(record)
    assert query(path, "SELECT frame_id FROM verdicts ORDER BY id") == [(number,) for number in range(6)]
    assert audit(path).broken is None


def test_two_who_write_by_turns_make_one_chain(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path) as one, SqliteSink(path) as two:
        for number in range(20):
            sink = two if number % 3 else one
            sink.write(*make_result(number))
            sink.flush()
    assert query(path, "SELECT frame_id FROM verdicts ORDER BY id") == [(number,) for number in range(20)]
    found = audit(path)
    assert found.broken is None and len(found.runs) == 2


def test_a_score_that_is_no_number_is_an_error(tmp_path: Path, make_result: Make) -> None:
    result, frame = make_result(0)
    with (
        pytest.raises(SinkError, match="a verdict cannot be written"),
        SqliteSink(tmp_path / "results.sqlite") as sink,
    ):
        sink.write(replace(result, pred_score=float("nan")), frame)
    assert audit(tmp_path / "results.sqlite").broken is None


@pytest.mark.parametrize("fate", ["removed", "moved", "replaced", "with its log"])
def test_a_file_that_goes_under_us_costs_no_record(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fate: str
) -> None:
    monkeypatch.setattr(spooled, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(spooled, "PAUSE_SECONDS", 0.02)
    path, old = tmp_path / "results.sqlite", tmp_path / "old.sqlite"
    with SqliteSink(old) as sink:
        sink.write(*make_result(99))
    with open_sink(path) as sink:
        for number in range(10):
            sink.write(*make_result(number))
        while sink.waiting:
            time.sleep(0.005)
        if fate == "removed":
            path.unlink()
        elif fate == "replaced":
            old.rename(path)
        else:
            path.rename(old)
            if fate == "with its log":
                for log in ("-wal", "-shm"):
                    path.with_name(path.name + log).rename(old.with_name(old.name + log))
        for number in range(10, 20):
            sink.write(*make_result(number))
        while sink.waiting:
            time.sleep(0.005)
    before = [(99,)] if fate == "replaced" else []
    assert query(path, "SELECT frame_id FROM verdicts ORDER BY id") == [*before, *((n,) for n in range(10, 20))]
    assert audit(path).broken is None and "was removed, moved or replaced" in caplog.text
    if fate in ("moved", "with its log"):
        assert query(old, "SELECT frame_id FROM verdicts ORDER BY id") == [(number,) for number in range(10)]
        assert audit(old, images=False).broken is None  # they are in the folder of the other name


def test_a_name_that_is_no_unicode_shows_and_hides_no_other(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    result, frame = make_result(0)
    names = ["caf\udce9.png", "\U0001f600 ü", "plain"]
    with SqliteSink(path) as sink:
        for name in names:
            sink.write(replace(result, source=name), frame)
        sink.lost(LostFrame(1, "\udcff", 0.0, "\udcff cannot be read"))
    shown = ["caf\\udce9.png", *names[1:]]
    assert query(path, "SELECT source FROM verdicts ORDER BY id") == [(name,) for name in shown]
    assert query(path, "SELECT source, reason FROM faults") == [("\\udcff", "\\udcff cannot be read")]
    assert audit(path).broken is None
