from __future__ import annotations

import csv
import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
import tempfile
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result, Verdict
from edgead.sinks.audit import audit
from edgead.sinks.images import Pictures, image_folder
from edgead.sinks.sqlite import SqliteSink
from edgead.sinks.table import csv_table

Make = Callable[..., tuple[Result, Frame]]
RECORDS = 14  # of the fixture: begin, eleven verdicts, a fault, end


@pytest.fixture
def written(tmp_path: Path, make_result: Make, lost: LostFrame) -> Path:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path) as sink:
        for number in range(11):
            sink.write(*make_result(number, Verdict.ACCEPT if number % 2 else Verdict.REJECT))
        sink.lost(lost)
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def rows(path: Path) -> list[tuple[int, str, bytes]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT id, record, hash FROM records ORDER BY id").fetchall()


def test_the_chain_is_what_the_documentation_says(written: Path) -> None:
    with closing(sqlite3.connect(written)) as database:
        (previous,) = database.execute("SELECT hash FROM genesis").fetchone()
    assert len(previous) == 32
    stored = rows(written)
    for number, (place, text, digest) in enumerate(stored, 1):
        record = json.loads(text)
        assert place == number
        assert text == json.dumps(record, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(previous + text.encode()).digest()
        assert digest == previous
    kinds = [json.loads(text)["kind"] for _, text, _ in stored]
    assert kinds == ["begin", *["verdict"] * 11, "fault", "end"]
    found = audit(written)
    assert found.broken is None
    assert (found.records, found.head, found.kinds["verdict"]) == (RECORDS, previous.hex(), 11)
    assert found.runs == [(json.loads(stored[0][1])["run"], RECORDS, previous.hex())]


def test_a_record_says_everything_of_its_verdict(written: Path, make_result: Make) -> None:
    first = json.loads(rows(written)[1][1])
    assert first.pop("kind") == "verdict"
    run, _, number = first.pop("id").rpartition("-")
    assert (len(run), number) == (16, "1")
    assert first == make_result(0)[0].record()


def test_two_databases_have_different_chains(tmp_path: Path) -> None:
    for name in ("a.sqlite", "b.sqlite"):
        with SqliteSink(tmp_path / name):
            pass
    assert audit(tmp_path / "a.sqlite").head != audit(tmp_path / "b.sqlite").head


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, str, bytes]]]:
    """A database of 12 records, and its rows."""
    path = tmp_path_factory.mktemp("chain") / "results.sqlite"
    with SqliteSink(path) as sink:
        for number in range(10):
            sink.lost(LostFrame(number, f"camera {number % 2}", 1e9 + number, "dark"))
    return path, rows(path)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_change_is_found_at_its_place(tampered: tuple[Path, list[tuple[int, str, bytes]]], data: st.DataObject):
    original, before = tampered
    count = len(before)
    place = data.draw(st.integers(1, count), "place")
    kind = data.draw(st.sampled_from(["text", "hash", "remove", "close the gap", "swap", "insert", "double", "shift"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(original, folder))
        _, text, digest = before[place - 1]
        first = place
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            move = "UPDATE records SET id = -id - {by} WHERE id > {after}"
            back = "UPDATE records SET id = -id WHERE id < 0"
            if kind == "text":
                record = json.loads(text)
                name = data.draw(st.sampled_from(sorted(record)))
                new = data.draw(
                    st.one_of(st.integers(), st.text(), st.floats(allow_nan=False, allow_infinity=False), st.none())
                )
                if type(new) is type(record[name]) and new == record[name]:
                    new = [new]
                changed = json.dumps({**record, name: new}, sort_keys=True, separators=(",", ":"))
                database.execute("UPDATE records SET record = ? WHERE id = ?", (changed, place))
            elif kind == "hash":
                bit = data.draw(st.integers(0, 255))
                new_hash = (int.from_bytes(digest, "big") ^ 1 << bit).to_bytes(32, "big")
                database.execute("UPDATE records SET hash = ? WHERE id = ?", (new_hash, place))
            elif kind in ("remove", "close the gap"):
                database.execute("DELETE FROM records WHERE id = ?", (place,))
                if kind == "close the gap":
                    database.execute(f"UPDATE records SET id = -(id - 1) WHERE id > {place}")
                    database.execute(back)
            elif kind == "swap":
                other = data.draw(st.integers(1, count).filter(lambda other: other != place), "other")
                first = min(place, other)
                for new_id, (_, its_text, its_hash) in ((place, before[other - 1]), (other, before[place - 1])):
                    database.execute(
                        "UPDATE records SET record = ?, hash = ? WHERE id = ?", (its_text, its_hash, new_id)
                    )
            elif kind in ("insert", "double"):
                database.execute(move.format(by=1, after=place))
                database.execute(back)
                added = (text, digest) if kind == "double" else ('{"kind":"fault"}', bytes(32))
                database.execute("INSERT INTO records VALUES (?, ?, ?)", (place + 1, *added))
                first = place + 1
            else:
                database.execute(move.format(by=1, after=place - 1))
                database.execute(back)
        broken = audit(path).broken
    assert broken is not None
    if not (kind in ("remove", "close the gap") and place == count):  # the end: `heads` knows of it
        assert broken.record == first


def test_a_cut_end_is_found_by_heads_or_by_what_was_written_down(written: Path) -> None:
    head = audit(written).head
    change(written, "DELETE FROM records WHERE id > 10")
    assert "the end is missing: run" in str(audit(written).broken)
    assert f"noted {RECORDS} records, 10 are there" in str(audit(written).broken)
    digest = rows(written)[-1][2].hex()
    change(written, f"UPDATE heads SET records = 10, hash = x'{digest}'")
    assert audit(written).broken is None  # as the documentation admits
    assert f"no record has the expected hash {head}" in str(audit(written, expect=[head]).broken)


def test_records_added_at_the_end_or_another_genesis_are_found(written: Path) -> None:
    genesis = written.with_name("genesis.sqlite")
    shutil.copy(written, genesis)
    last = rows(written)[-1][2]
    text = '{"kind":"fault"}'
    digest = hashlib.sha256(last + text.encode()).hexdigest()
    change(written, f"INSERT INTO records VALUES ({RECORDS + 1}, '{text}', x'{digest}')")
    broken = audit(written).broken
    assert broken is not None and broken.record == RECORDS + 1
    assert broken.what == f"{RECORDS} records are noted by the runs, {RECORDS + 1} are there"
    change(genesis, "UPDATE genesis SET hash = zeroblob(32)")
    broken = audit(genesis).broken
    assert broken is not None and broken.record == 1
    change(genesis, "DELETE FROM genesis")
    assert "genesis" in str(audit(genesis).broken)


def test_a_head_written_down_is_still_in_a_longer_chain(written: Path, make_result: Make) -> None:
    head = audit(written).head
    with SqliteSink(written) as sink:
        sink.write(*make_result(1))
    found = audit(written, expect=[head.upper()])
    assert found.broken is None and found.expected == {head: RECORDS} and found.records == RECORDS + 3


def test_a_damaged_file_is_broken_not_a_crash(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path) as sink:
        for number in range(400):
            sink.write(*make_result(number))
    content = bytearray(path.read_bytes())
    generator = random.Random(4)
    for _ in range(25):
        broken = bytearray(content)
        at = generator.randrange(len(content) // 2, len(content) - 4096)
        broken[at : at + 3000] = generator.randbytes(3000)
        path.write_bytes(broken)
        audit(path)  # the bytes may hit an index, which the chain does not read; nothing but Audit may come back


def test_what_is_no_results_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="there is no such database"):
        audit(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("text" * 1000)
    with pytest.raises(SinkError, match=r"cannot open the database.*text\.sqlite"):
        audit(tmp_path / "text.sqlite")
    change(tmp_path / "other.sqlite", "CREATE TABLE stock (part TEXT)")
    with pytest.raises(SinkError, match="something else than results"):
        audit(tmp_path / "other.sqlite")
    with SqliteSink(tmp_path / "old.sqlite"):
        pass
    change(tmp_path / "old.sqlite", "PRAGMA user_version = 1")
    with pytest.raises(SinkError, match="schema 1 has no chain"):
        audit(tmp_path / "old.sqlite")


def test_it_reads_while_a_run_writes_and_from_a_place_that_cannot_be_written(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path, batch=10) as sink:
        for number in range(35):
            sink.write(*make_result(number))
        during = audit(path)
        assert during.broken is None and during.records == 32  # begin, the first at once, three batches of ten
        for number in range(35, 60):
            sink.write(*make_result(number))
    assert audit(path, expect=[during.head]).broken is None


def test_it_reads_from_a_medium_that_cannot_be_written(small_disk: Callable[[str], Path], make_result: Make) -> None:
    path = small_disk("2m") / "results.sqlite"
    with SqliteSink(path) as sink:
        for number in range(20):
            sink.write(*make_result(number))
    subprocess.run(["mount", "-o", "remount,ro", path.parent], check=True)
    found = audit(path)
    assert found.broken is None and found.kinds["verdict"] == 20


def test_what_waits_in_the_spool_is_told(written: Path) -> None:
    assert audit(written).waiting == 0
    folder = written.with_name("results.sqlite.spool") / "1-run"
    folder.mkdir(parents=True)
    (folder / "3.jsonl").write_bytes(b"one\ntwo\n")
    (folder / "4.jsonl").write_bytes(b"three\ntor")
    (folder / "sent").write_bytes(b"000000000003 000000000004")
    found = audit(written)
    assert found.waiting == 2 and found.broken is None


def test_memory_stays_constant(tmp_path: Path) -> None:
    peaks = []
    for count in (500, 8000):
        path = tmp_path / f"{count}.sqlite"
        with SqliteSink(path, batch=1000) as sink:
            for number in range(count):
                sink.lost(LostFrame(number, f"image-{number}.png", float(number), "unreadable"))
        tracemalloc.start()
        assert audit(path).kinds["fault"] == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0] + 100_000


def test_the_table_holds_every_verdict_and_fault_and_no_formula(tmp_path: Path, make_result: Make) -> None:
    path, table = tmp_path / "results.sqlite", tmp_path / "results.csv"
    result, frame = make_result(0)
    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@sum", "\t=1", 'a "quoted", name', "new\nline", "\udcff.png"]
    with SqliteSink(path) as sink:
        for name in names:
            sink.write(replace(result, source=name, raw_score=-1.5), frame)
        sink.lost(LostFrame(9, "cell", 0.0, "=1+1"))
    with csv_table(table) as add:
        found = audit(path, found=add)
    assert found.broken is None
    with table.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["kind"] for row in read] == ["verdict"] * len(names) + ["fault"]
    for row, name in zip(read, names, strict=False):
        assert row["source"] == ("'" + name if name[0] in "=+-@\t" else name.replace("\udcff", "\\udcff"))
        assert float(row["raw_score"]) == -1.5 and row["verdict"] == "reject" and row["regions"] == "1"
        assert (row["largest_area"], row["highest_peak"]) == ("384", "2.0")
        assert (row["bundle"], row["engine"]) == ("ab" * 32, "cd" * 32)
    assert (read[-1]["fault"], read[-1]["frame_id"], read[-1]["regions"]) == ("'=1+1", "9", "")
    assert read[-1]["hash"] == rows(path)[-2][2].hex()
    cells = [cell for row in csv.reader(table.read_text().splitlines()) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t") or (cell[:2] == "-1" and cell != "-1.5")]


def test_the_table_is_whole_or_not_there(tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    with pytest.raises(ZeroDivisionError), csv_table(table) as add:
        add(1, {"kind": "fault"}, b"")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SinkError, match=r"cannot write the table: .*folder\.csv"), csv_table(tmp_path / "folder.csv"):
        pass


def test_a_picture_that_retention_removes_during_an_audit_is_not_missing(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path, pictures=Pictures()) as sink:
        for number in range(5):
            sink.write(*make_result(number))
    retired = []

    def found(place: int, record: dict[str, object], digest: bytes) -> None:
        if place == 2:  # of the records that this audit reads, none says so
            with SqliteSink(path, pictures=Pictures(max_bytes=1)):
                retired.append(place)

    during = audit(path, found=found)
    assert retired and during.broken is None
    assert (during.images, during.retired) == (1, 4)
    image_folder(path).joinpath("x").touch()
    change(path, "DELETE FROM records WHERE record LIKE '%removed%'")
    assert "is missing, and no record says that retention removed it" in str(audit(path).broken)


def test_a_record_that_nobody_can_read_is_a_break(written: Path) -> None:
    text = "[" * 100_000
    before = rows(written)
    digest = hashlib.sha256(before[-1][2] + text.encode()).hexdigest()
    change(
        written,
        "DROP INDEX records_by_kind",
        f"INSERT INTO records VALUES ({RECORDS + 1}, '{text}', x'{digest}')",
    )
    broken = audit(written).broken
    assert broken is not None and (broken.record, broken.where) == (RECORDS + 1, "unreadable")


def test_what_a_chain_that_was_computed_anew_proves(written: Path) -> None:
    """Nothing, as the documentation says; a head that was written down finds it, from wherever it was begun."""
    head, stored = audit(written).head, rows(written)
    previous = stored[5][2]
    with closing(sqlite3.connect(written, isolation_level=None)) as database:
        for place, text, _ in stored[6:]:
            forged = text.replace("reject", "accept")
            previous = hashlib.sha256(previous + forged.encode()).digest()
            database.execute("UPDATE records SET record = ?, hash = ? WHERE id = ?", (forged, previous, place))
        database.execute("UPDATE heads SET hash = ?", (previous,))
    assert audit(written).broken is None
    assert "has the expected hash" in str(audit(written, expect=[head]).broken)
    assert audit(written, expect=[stored[5][2].hex()]).broken is None  # what came before is what it was
