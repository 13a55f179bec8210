"""The example, run as its user would: another process, triggers in, bits out, a record kept."""

from __future__ import annotations

import ast
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import cv2
import pytest

import edgead

APP = Path(__file__).resolve().parents[2] / "examples/inspection_app.py"
PATIENCE = 1.0  # as the example promises


class Cell:
    """The example as the PLC sees it."""

    def __init__(self, process, record):
        self.process, self.record = process, record

    def ask(self, name):
        """A part -> its bit, when it came and when the bit was there."""
        asked = time.time()
        print(name, file=self.process.stdin, flush=True)
        said, bit = self.process.stdout.readline().split()
        assert said == name and bit in ("0", "1")
        return bit, asked, time.time()

    def judged(self):
        """When each frame on record was captured, and its verdict."""
        try:
            with sqlite3.connect(self.record) as database:
                rows = database.execute("SELECT captured_at, verdict FROM results ORDER BY id").fetchall()
        except sqlite3.OperationalError:  # not made yet
            return []
        return [(datetime.fromisoformat(at).timestamp(), verdict) for at, verdict in rows]


@contextmanager
def cell(bundle, camera, record):
    command = [sys.executable, APP, bundle, "--camera", camera, "--record", record]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(list(map(str, command)), text=True, **pipes) as process:
        try:
            yield Cell(process, record)
        finally:
            process.kill()


def until(condition, action=lambda: None):
    for _ in range(300):
        if condition():
            return
        action()
        time.sleep(0.1)
    raise AssertionError("it did not come about in half a minute")


@pytest.fixture
def photos(fp32_bundle, parts):
    """A photo for each verdict that the detector gives."""
    with edgead.load(fp32_bundle) as detector:
        return {detector(cv2.imread(str(path))).verdict.value: path for path in sorted(parts.glob("t*/*/*.png"))}


class Shown:
    """A folder that stands in for a camera: a picture comes when somebody shows it."""

    def __init__(self, folder):
        self.folder, self.shown = folder, 0
        folder.mkdir()

    def show(self, photo):
        self.shown += 1
        place = self.folder / f"{self.shown}"
        shutil.copy(photo, place)
        place.rename(place.with_suffix(".png"))


def test_a_part_has_the_bit_of_a_picture_that_was_taken_after_its_trigger(fp32_bundle, photos, tmp_path):
    """Good parts are shown, then none: what the camera saw before says nothing of the part that comes then."""
    camera = Shown(tmp_path / "shown")
    with cell(fp32_bundle, f"watch://{camera.folder}", tmp_path / "results.sqlite") as line:
        until(line.judged, lambda: camera.show(photos["accept"]))
        time.sleep(2)  # until all that was shown is judged
        bit, asked, answered = line.ask("nothing-seen")
        judged = line.judged()
        assert {verdict for _, verdict in judged} == {"accept"} and max(at for at, _ in judged) < asked
        assert bit == "0" and PATIENCE <= answered - asked < PATIENCE + 5
        for verdict in ("accept", "reject", "accept"):
            threading.Timer(0.2, camera.show, [photos[verdict]]).start()
            assert line.ask(verdict)[0] == str(int(verdict == "accept"))
        line.process.stdin.close()
        assert line.process.wait(30) == 0
        assert [verdict for _, verdict in line.judged()[-3:]] == ["accept", "reject", "accept"]


def test_a_camera_that_is_not_there_passes_no_part_and_ends_the_run(fp32_bundle, tmp_path):
    with cell(fp32_bundle, tmp_path / "no-camera.mp4", tmp_path / "results.sqlite") as line:
        assert line.ask("one")[0] == "0"
        assert line.process.wait(30) == 1
        assert "no-camera.mp4" in line.process.stderr.read()


def test_a_camera_that_ends_passes_no_part_and_ends_the_run(fp32_bundle, parts, tmp_path):
    with cell(fp32_bundle, parts / "train/good", tmp_path / "results.sqlite") as line:
        assert line.process.wait(30) == 1
        assert "no more pictures" in line.process.stderr.read()


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
