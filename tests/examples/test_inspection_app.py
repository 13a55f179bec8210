"""The example, run as its user would: another process, triggers in, bits out, a record kept."""

from __future__ import annotations

import ast
import sqlite3
import subprocess
import sys
from pathlib import Path

import edgead

APP = Path(__file__).resolve().parents[2] / "examples/inspection_app.py"


def answers(bundle, camera, record, triggers):
    command = [sys.executable, APP, bundle, "--camera", camera, "--record", record]
    lines = "".join(f"{trigger}\n" for trigger in triggers)
    return subprocess.run(list(map(str, command)), input=lines, capture_output=True, text=True, timeout=120)


def test_each_trigger_gets_one_bit_and_all_is_on_record(fp32_bundle, tmp_path):
    done = answers(
        fp32_bundle, "synthetic://?size=64", tmp_path / "results.sqlite", [f"part-{number}" for number in range(5)]
    )
    assert done.returncode == 0, done.stderr
    bits = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, _ in bits] == [f"part-{number}" for number in range(5)]
    assert {bit for _, bit in bits} <= {"0", "1"}
    with sqlite3.connect(tmp_path / "results.sqlite") as database:
        verdicts = [verdict for (verdict,) in database.execute("SELECT verdict FROM results ORDER BY id")]
    assert len(verdicts) >= 5
    assert [verdict == "accept" for verdict in verdicts[:5]] == [bit == "1" for _, bit in bits]


def test_a_part_without_a_frame_is_not_passed_on(fp32_bundle, parts, tmp_path):
    done = answers(fp32_bundle, f"{parts}/test/spot/000.png", tmp_path / "results.sqlite", ["one", "two"])
    assert done.returncode == 1 and "no more frames" in done.stderr
    assert done.stdout.splitlines()[-1] == "two 0"


def test_it_takes_forty_lines_and_public_names_alone():
    source = APP.read_text()
    assert len([line for line in source.splitlines() if line.strip()]) <= 40
    tree = ast.parse(source)
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and
            isinstance(node.value, ast.Name) and node.value.id == "edgead"}  # fmt: skip
    assert used and used <= set(edgead.__all__)
    imported = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "") != "__future__"
    ]
    assert not imported
