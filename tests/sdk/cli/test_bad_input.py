"""Bad input through the command line: one line that says what, where and what to do, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgead.cli.main import main
from edgead.cli.stream import stream_command
from edgead.errors import DataError


def run(capsys, *arguments):
    """(exit code, standard output, standard error) of one call in this process."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def listing(folder: Path):
    return sorted((str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*"))


def check_error(answer, *words):
    code, out, err = answer
    assert code == 1, err
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


@pytest.fixture
def bundle(fp32_bundle, tmp_path):
    return Path(shutil.copy(fp32_bundle, tmp_path / "part.edgead"))


COMMANDS_ON_A_BUNDLE = [
    ("inspect",),
    ("stream", "--camera", "synthetic://?frames=1"),
    ("bench", "--frames", "10", "--rounds", "1"),
    ("evaluate", "--data", "PARTS"),
    ("verify", "--data", "PARTS"),
    ("sensitivity", "--data", "PARTS"),
    ("calibrate", "--data", "PARTS"),
    ("build-engine", "--calib-data", "PARTS"),
]


@pytest.mark.parametrize("command", COMMANDS_ON_A_BUNDLE, ids=lambda command: command[0])
@pytest.mark.parametrize("damage", ["missing", "truncated", "tampered", "empty"])
def test_every_command_refuses_a_bad_bundle(capsys, bundle, parts, command, damage):
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        bundle.unlink()
    else:
        bundle.write_bytes({"truncated": content[:1000], "tampered": content, "empty": b""}[damage])
    before = listing(bundle.parent)
    name, *options = (str(parts) if word == "PARTS" else word for word in command)
    check_error(run(capsys, name, bundle, *options), "part.edgead")
    assert listing(bundle.parent) == before


def test_an_empty_folder_is_named(capsys, tmp_path):
    (tmp_path / "photos").mkdir()
    check_error(run(capsys, "train", "lamp", "--data", tmp_path / "photos", "-o", tmp_path / "run"), "photos")
    assert not (tmp_path / "run").exists()


def test_a_corrupt_photo_is_named_before_training(capsys, parts, tmp_path):
    root = shutil.copytree(parts, tmp_path / "parts")
    (root / "train/good/005.png").write_bytes(b"not a picture")
    answer = run(
        capsys, "train", "lamp", "--data", root, "-o", tmp_path / "run", "--height", 64, "--width", 64, "--stages", 3
    )
    check_error(answer, "005.png")


def test_impossible_options_are_named(capsys, parts, tmp_path):
    check_error(
        run(capsys, "train", "lamp", "--data", parts, "-o", tmp_path / "run", "--height", 100), "multiples of 64"
    )


def test_a_folder_that_is_no_run_is_named(capsys, tmp_path):
    check_error(run(capsys, "export", tmp_path, "-o", tmp_path / "x.edgead"), "no run.json")
    check_error(run(capsys, "evaluate", tmp_path, "--data", tmp_path), str(tmp_path))


@pytest.mark.parametrize("source", ["nowhere.mp4", "nowhere/*.png", "gopher://camera", "/dev/video99"])
def test_unknown_sources_are_named(capsys, bundle, source):
    code, _, err = run(capsys, "stream", bundle, "--camera", source, "--quiet")
    assert code == 1
    assert err.startswith("error: ") and source.partition("*")[0] in err


def test_data_without_defects_cannot_be_evaluated(capsys, bundle, parts):
    check_error(run(capsys, "evaluate", bundle, "--data", parts / "train" / "good"), "no labelled defects")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("train", "oracle"), ("build-engine", "x", "--precision", "int3"), ("stream", "x"), ()]
)
def test_wrong_usage_is_exit_code_2(capsys, arguments):
    assert run(capsys, *arguments)[0] == 2


def test_a_refused_engine_is_exit_code_3_and_changes_nothing(capsys, bundle, parts, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    before = listing(tmp_path)
    answer = run(capsys, "build-engine", bundle, "--calib-data", parts, "--target", "openvino", "--max-map-error", "0")
    code, _, err = answer
    assert code == 3
    assert err.startswith("error: refused: the map is off by") and "raise the budget" in err
    assert listing(tmp_path) == before


# As root, without the capability to write where nobody may.
PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


@pytest.mark.parametrize("command", ["calibrate", "build-engine", "export", "evaluate", "stream"])
def test_a_folder_that_cannot_be_written_is_named_before_the_work(request, bundle, parts, tmp_path, command):
    locked = tmp_path / "locked"
    locked.mkdir()
    shutil.copy(bundle, locked / "part.edgead")
    locked.chmod(0o555)
    part = locked / "part.edgead"
    arguments = {
        "calibrate": ["calibrate", part, "--data", parts],
        "build-engine": ["build-engine", part, "--calib-data", parts],
        "export": ["export", request.getfixturevalue("run"), "-o", locked / "new.edgead"],
        "evaluate": ["evaluate", part, "--data", parts, "--report", locked / "report.html"],
        "stream": ["stream", part, "--camera", "synthetic://?frames=2", "--save", locked / "results.jsonl", "--quiet"],
    }[command]
    done = subprocess.run(
        [*PLAIN, sys.executable, "-m", "edgead.cli.main", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "error: " in done.stderr and "locked" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in locked.iterdir()] == ["part.edgead"]


def test_the_program_itself_prints_one_line_and_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "edgead.cli.main", "inspect", str(tmp_path / "nowhere.edgead")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: no such file") and "Traceback" not in done.stderr


def test_a_frame_of_the_wrong_size_is_refused_by_the_graph_and_resized_by_the_detector(fp32_bundle):
    import edgead
    from edgead.errors import FrameError

    with edgead.load(fp32_bundle, target="openvino") as detector:
        with pytest.raises(FrameError, match="64 x 64"):
            detector.infer(np.zeros((1, 32, 32, 3), np.uint8))
        assert detector(np.zeros((32, 32, 3), np.uint8)).anomaly_map.shape == (64, 64)


def test_json_of_doctor_and_inspect_parses(capsys, bundle):
    for command in (("doctor",), ("inspect", bundle)):
        code, out, err = run(capsys, *command, "--json")
        assert code == 0, err
        assert json.loads(out)


@pytest.mark.parametrize("trigger", ["mqtt:/user:secret@broker/part", "mqtt:user:secret@broker/part", "user@secret"])
def test_a_mistyped_trigger_does_not_tell_its_password(trigger):
    done = CliRunner().invoke(stream_command, ["part.edgead", "--camera", "63", "--trigger", trigger])
    assert isinstance(done.exception, DataError)
    assert "secret" not in str(done.exception) and "mqtt://, mqtts:// or gpio://" in str(done.exception)
