"""Files that many processes write at once, and what is left of a process that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgead.atomic import atomic_path, locked, remove_abandoned, write_atomic

COUNT = """
import sys
from pathlib import Path
from edgead.atomic import locked, write_atomic
path = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.read(1)
for _ in range(60):
    with locked(path):
        write_atomic(path, str(int(path.read_text()) + 1))
"""

HOLD = """
import sys, time
from pathlib import Path
from edgead.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print(temporary.name, flush=True)
    sys.stdin.read(1)
"""


def start(program: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_nothing_is_lost_where_processes_change_one_file(tmp_path):
    """Each reads a number and replaces the file by one with the next; without the lock most of them would be lost."""
    path = tmp_path / "count"
    path.write_text("0")
    processes = [start(COUNT, path) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert path.read_text() == "240"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_given_back_by_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    with pytest.raises(ZeroDivisionError), locked(path):
        _ = 1 / 0
    with locked(path):
        pass
    with pytest.raises(FileNotFoundError), locked(tmp_path / "none"):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_write_removes_what_a_killed_one_has_left(tmp_path, number):
    path = tmp_path / "part.edgead"
    process = start(HOLD, path)
    temporary = tmp_path / process.stdout.readline().strip()
    write_atomic(path, "another")
    assert temporary.read_bytes() == b"half", "its writer lives"
    process.send_signal(number)
    process.communicate(timeout=20)
    assert temporary.read_bytes() == b"half"
    write_atomic(tmp_path / "other", "of another file")
    assert temporary.exists()
    write_atomic(path, "whole")
    assert sorted(os.listdir(tmp_path)) == ["other", "part.edgead"]  # noqa: PTH208
    assert path.read_text() == "whole"


def test_only_temporary_files_are_removed(tmp_path):
    for name in (".part.edgead.swp", "part.edgead.partial", ".other.abc.partial", ".part.edgead.abc.partial"):
        (tmp_path / name).write_text("")
    remove_abandoned(tmp_path, ".part.edgead.")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".other.abc.partial",
        ".part.edgead.swp",
        "part.edgead.partial",
    ]


def test_two_writers_of_one_file_in_one_process(tmp_path):
    path = tmp_path / "file"
    with atomic_path(path) as first, atomic_path(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the last to end
    assert list(tmp_path.iterdir()) == [path]
