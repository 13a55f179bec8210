from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edgead.cli.main import main
from edgead.frame import LostFrame
from edgead.sinks.sqlite import SqliteSink


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path) as sink:
        for number in range(5):
            sink.lost(LostFrame(number, "\x1b[31mcell", 1e9 + number, "dark"))
    return path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return int(str(ended.value.code)), told.out, told.err

    return run


def alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement)


def test_a_whole_database(command, database: Path) -> None:
    code, output, errors = command("audit", database)
    first, head, last = output.splitlines()
    assert (code, errors) == (0, "")
    assert first == "7 records hold (0 verdicts, 5 faults, 1 runs)"
    assert last == "whole: nothing altered, removed, added or moved"
    code, output, _ = command("audit", database, "--json", "--expect", head.split()[1])
    document = json.loads(output)
    assert code == 0 and document["whole"] and document["records"] == 7 and document["broken"] is None
    assert document["expected"] == {head.split()[1]: 7}
    assert document["runs"] == [{"run": document["runs"][0]["run"], "records": 7, "head": head.split()[1]}]


def test_a_break_is_named_and_the_exit_code_says_so(command, database: Path) -> None:
    alter(database, "UPDATE records SET record = replace(record, 'dark', 'fine') WHERE id = 3")
    code, output, errors = command("audit", database)
    assert (code, errors) == (3, "")
    assert output.splitlines()[0].startswith("2 records hold")
    assert "BROKEN: record 3 (frame 1 of " in output and "\x1b" not in output
    code, output, _ = command("audit", database, "--json")
    assert code == 3 and json.loads(output)["broken"]["record"] == 3


def test_an_expected_head_that_is_gone(command, database: Path) -> None:
    code, output, _ = command("audit", database, "--expect", "ab" * 32)
    assert code == 3 and f"no record has the expected hash {'ab' * 32}" in output
    code, _, errors = command("audit", database, "--expect", "ab")
    assert code == 2 and "64 hexadecimal digits" in errors


def test_the_table(command, database: Path, tmp_path: Path) -> None:
    table = tmp_path / "new" / "table.csv"
    assert command("audit", database, "--csv", table)[0] == 0
    with table.open(newline="") as file:
        assert [row["frame_id"] for row in csv.DictReader(file)] == list("01234")


def test_what_cannot_be_audited(command, tmp_path: Path) -> None:
    code, output, errors = command("audit", tmp_path / "none.sqlite")
    assert (code, output) == (1, "")
    assert errors.startswith("error: there is no such database, ") and errors.count("\n") == 1


def test_help_says_the_limit(command) -> None:
    code, output, _ = command("audit", "--help")
    assert code == 0 and "has a limit" in output and "--expect" in output


def test_nothing_heavy_is_loaded(database: Path) -> None:
    program = (
        "import sys\nfrom edgead.cli.main import main\ntry:\n    main(['audit', sys.argv[1]])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(sorted({'torch', 'onnx', 'openvino', 'tensorrt'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, database], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
