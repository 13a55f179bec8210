from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgead.frame import Signal
from edgead.sinks import spool as spool_module
from edgead.sinks.spool import Spool


def drained(spool: Spool) -> list[bytes]:
    taken = []
    while not isinstance(record := spool.take(0), Signal):
        taken.append(record)
    return taken


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 40)


def test_records_come_in_order_and_the_folder_goes_when_all_have_arrived(tmp_path: Path, small_files: None) -> None:
    spool = Spool(tmp_path / "spool" / "run")
    spool.create()
    assert spool.take(0.01) is Signal.TIMEOUT
    sent = [b"%05d" % number for number in range(100)]
    for record in sent:
        spool.append(record)
    assert len(list(spool.folder.glob("*.jsonl"))) > 10
    assert drained(spool) == sent and spool.waiting == 100
    spool.acknowledge()
    assert spool.waiting == 0 and len(list(spool.folder.glob("*.jsonl"))) == 1  # delivered files go at once
    spool.end()
    assert spool.take(0) is Signal.END
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["append", "append", "take", "take", "acknowledge", "rewind", "crash"]), max_size=80)
)
def test_whatever_happens_nothing_is_lost_or_out_of_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Against a list and two counts."""
    root = tmp_path_factory.mktemp("spool")
    spools = [Spool(root / "0")]
    spools[0].create()
    sent: list[bytes] = []
    taken = acknowledged = 0
    ended = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "SEGMENT_BYTES", 20)
        for step in steps:
            spool = spools[-1]
            if step == "append" and not ended:
                sent.append(b"%d" % len(sent))
                spool.append(sent[-1])
            elif step == "take":
                record = spool.take(0)
                if taken < len(sent):
                    assert record == sent[taken]
                    taken += 1
                else:
                    assert record is (Signal.END if ended else Signal.TIMEOUT)
            elif step == "acknowledge":
                spool.acknowledge()
                acknowledged = taken
            elif step == "rewind":
                spool.rewind()
                taken = acknowledged
            elif step == "crash":
                for name in ("_folder", "_file", "_sent"):  # what the end of a process does
                    handle = getattr(spool, name)
                    if handle >= 0:
                        spool_module.os.close(handle)
                spools.append(Spool(root / "0"))
                assert spools[-1].adopt()
                taken, ended = acknowledged, True
            assert spools[-1].waiting == len(sent) - acknowledged
        spools[-1].rewind()
        assert drained(spools[-1]) == sent[acknowledged:]
        spools[-1].acknowledge()
        spools[-1].close()
    assert not (root / "0").exists()


def test_what_a_killed_process_appended_is_there(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal\nfrom pathlib import Path\nfrom edgead.sinks.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1])); spool.create()\n"
        "for number in range(50):\n    spool.append(b'%d' % number)\n"
        "for _ in range(20): spool.take(0)\nspool.acknowledge(); spool.take(0)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "run"]).returncode == -9
    spool = Spool(tmp_path / "run")
    assert spool.adopt() and spool.waiting == 30
    assert drained(spool) == [b"%d" % number for number in range(20, 50)]
    spool.close()
    assert Spool(tmp_path / "run").adopt()


def test_a_torn_end_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "1.jsonl").write_bytes(b"one\ntwo\nthr")
    (tmp_path / "run" / "2.jsonl").write_bytes(b"four\nfi")
    spool = Spool(tmp_path / "run")
    assert spool.adopt() and spool.waiting == 3
    assert drained(spool) == [b"one", b"two", b"four"]
    assert "a torn record of 3 bytes" in caplog.text


def test_a_living_run_keeps_its_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "run")
    spool.create()
    spool.append(b"one")
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgead.sinks.spool import Spool\n"
        "print(Spool(Path(sys.argv[1])).adopt())"
    )
    ask = [sys.executable, "-c", code, tmp_path / "run"]
    assert subprocess.run(ask, capture_output=True).stdout == b"False\n"
    spool.close()
    assert subprocess.run(ask, capture_output=True).stdout == b"True\n"


def test_a_full_disk_takes_what_is_on_its_way_and_nothing_half(small_disk: Callable[[str], Path]) -> None:
    spool = Spool(small_disk("512k") / "spool")
    spool.create()
    record = json.dumps({"id": "x" * 300}).encode()
    written = before = 0
    with pytest.raises(OSError, match="No space left"):
        for _ in range(10_000):
            spool.append(record)
            written += 1
            before += not spool.spent
    assert before > 50 and written - before > 500  # in the room that was set aside
    assert drained(spool) == [record] * written
    spool.acknowledge()
    spool.close()


def test_without_room_to_set_aside_it_is_said_and_the_disk_is_used(
    small_disk: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(small_disk("64k") / "spool")
    spool.create()
    assert "no room can be set aside" in caplog.text
    written = 0
    with pytest.raises(OSError, match="No space left"):
        for _ in range(1000):
            spool.append(b"x" * 300)
            written += 1
    assert not spool.spent and drained(spool) == [b"x" * 300] * written


def test_memory_does_not_grow_with_what_waits(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "run")
    spool.create()
    tracemalloc.start()
    for _ in range(20_000):
        spool.append(b"x" * 500)
    spool.take(0)
    assert spool.waiting == 20_000 and tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()
    spool.close()


def test_a_spool_cut_at_any_byte_gives_what_is_whole_before(tmp_path: Path) -> None:
    sent = [b'{"id":"a-%d"}' % number for number in range(4)]
    content = b"\n".join(sent) + b"\n"
    for end in range(len(content) + 1):
        folder = tmp_path / f"{end}"
        folder.mkdir()
        (folder / "1.jsonl").write_bytes(content[:end])
        spool = Spool(folder)
        whole = sent[: content[:end].count(b"\n")]
        assert spool.adopt() and spool.waiting == len(whole)
        assert drained(spool) == whole
        spool.acknowledge()
        spool.close()
        assert not folder.exists()


def test_a_note_cut_at_any_byte_costs_no_record(tmp_path: Path) -> None:
    sent = [b"%05d" % number for number in range(4)]
    noted = b"%012d %012d" % (2, 6)  # the first one of the second file has arrived
    for end in range(len(noted) + 1):
        folder = tmp_path / f"{end}"
        folder.mkdir()
        (folder / "2.jsonl").write_bytes(b"\n".join(sent) + b"\n")
        (folder / "sent").write_bytes(noted[:end])
        spool = Spool(folder)
        assert spool.adopt()
        assert [record for record in drained(spool) if record in sent[1:]] == sent[1:]
        spool.close()


def test_a_folder_that_cannot_be_read_stays_and_is_let_go(tmp_path: Path) -> None:
    (tmp_path / "run" / "1.jsonl").mkdir(parents=True)
    spool = Spool(tmp_path / "run")
    with pytest.raises(OSError, match="Is a directory"):
        spool.adopt()
    spool.close()
    assert (tmp_path / "run" / "1.jsonl").is_dir()
    (tmp_path / "run" / "1.jsonl").rmdir()
    assert Spool(tmp_path / "run").adopt()
