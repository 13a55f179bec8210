from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

# The command as users run it, but with a detector that needs no bundle: its score is the brightness of the frame.
PROGRAM = """
import sys, time
from types import SimpleNamespace
import numpy as np
import edgead.cli.stream as command
from edgead.cli.main import main
from edgead.errors import FrameError
from edgead.result import Region, Result, Verdict

class Detector:
    thresholds = SimpleNamespace(pixel=SimpleNamespace(value=100.0))
    seconds = float(sys.argv.pop(1))
    digest, max_batch = "ab" * 32, 1
    def close(self): print("engine freed", file=sys.stderr)
    def prepare(self, image):
        if image.shape[0] < 32:
            raise FrameError("the frame is too small", "detector")
        return image[None, :32, :32]
    def infer(self, batch):
        time.sleep(self.seconds)
        return {"score": batch.mean(axis=(1, 2, 3)), "anomaly_map": batch[..., 0].astype(np.float32)}
    def judge(self, outputs, frame, timing):
        score, anomaly_map = float(outputs["score"][0]), outputs["anomaly_map"][0]
        verdict = Verdict.REJECT if score > 100 else Verdict.ACCEPT
        regions = (Region((1, 2, 8, 8), 64, score),)
        return Result(min(score / 200, 1.0), score > 100, anomaly_map, anomaly_map > 100, score, verdict, regions,
                      frame.frame_id, frame.source, frame.captured_at, timing, "ab" * 32)

def load(path, *, target, precision, maps, overlay, build, progress):
    print(f"load {path} {target} {precision}", file=sys.stderr)
    return Detector()

command.load = load
command.self_test = lambda detector: SimpleNamespace(require=lambda where: print("tested", file=sys.stderr))
main(sys.argv[1:])
"""


def start(*arguments: object, seconds: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(seconds), "stream", "part.edgead", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: object, code: int = 0) -> tuple[str, str]:
    process = start(*arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    return output, errors


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return database.execute(statement).fetchall()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 400 frames that grow brighter."""
    path = tmp_path_factory.mktemp("video") / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 128))
    for number in range(400):
        writer.write(np.full((128, 160, 3), number // 2, np.uint8))
    writer.release()
    return path


def test_a_whole_video_with_every_sink(line: Path, tmp_path: Path) -> None:
    jsonl, database, video = tmp_path / "a.jsonl", tmp_path / "a.sqlite", tmp_path / "a.mp4"
    saved = ("--save", jsonl, "--save", database, "--keep-accepts", 0, "--video", video)
    output, errors = run("--camera", line, *saved, "--max-frames", 60)
    assert output == ""
    assert "load part.edgead auto None" in errors and "engine freed" in errors
    assert "60 frames judged in " in errors and "60 accept, 0 warn, 0 reject" in errors
    assert [record["frame_id"] for record in lines(jsonl)] == list(range(60))
    assert [row[0] for row in rows(database, "SELECT frame_id FROM results")] == list(range(60))
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.mp4", "a.sqlite"]


def test_json_and_the_other_options(line: Path) -> None:
    output, errors = run(
        "--camera", line, "--json", "--policy", "every", "--target", "openvino", "--precision", "int8", "--quiet"
    )
    summary = json.loads(output)
    assert (summary["frames"], summary["judged"], summary["dropped"], summary["lost"]) == (400, 400, 0, 0)
    assert summary["verdicts"]["reject"] > 100
    assert "load part.edgead openvino int8" in errors
    assert "frames judged" not in errors


def test_lost_and_refused_frames_are_told_and_recorded(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "c.png").write_bytes(b"nothing")
    saved = tmp_path / "results.jsonl"
    output, errors = run("--camera", tmp_path, "--save", saved, "--json")
    assert f"lost frame 1 of {tmp_path}/b.png: the frame is too small" in errors
    assert f"lost frame 2 of {tmp_path}/c.png: " in errors
    assert ["fault" in record for record in lines(saved)] == [False, True, True]
    assert json.loads(output)["lost"] == 2
    _, errors = run("--camera", tmp_path, "--quiet")
    assert "lost frame" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_everything_written(line: Path, tmp_path: Path, number: signal.Signals) -> None:
    jsonl, database, video = tmp_path / "a.jsonl", tmp_path / "a.db", tmp_path / "a.avi"
    arguments = ("--camera", line, "--save", jsonl, "--save", database, "--video", video, "--json")
    process = start(*arguments, "--keep-accepts", "0", seconds=0.03)
    wait_for(lambda: len(lines(jsonl)) >= 10)
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    judged = json.loads(output)["judged"]
    assert 10 <= judged < 400
    assert json.loads(output)["unfinished"] == 0
    assert [record["frame_id"] for record in lines(jsonl)] == list(range(judged))
    assert [row[0] for row in rows(database, "SELECT frame_id FROM verdicts")] == list(range(judged))
    assert rows(database, "SELECT ended_at IS NOT NULL FROM runs") == [(1,)]
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == judged
    assert "engine freed" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.avi", "a.db", "a.jsonl"]


def test_a_second_signal_ends_at_once(line: Path) -> None:
    process = start("--camera", line, seconds=30)
    assert process.stderr is not None and process.stderr.readline().startswith("load")
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM
    process.communicate()


def test_kill_9_leaves_whole_records(line: Path, tmp_path: Path) -> None:
    jsonl, database = tmp_path / "a.jsonl", tmp_path / "a.sqlite"
    process = start("--camera", line, "--save", jsonl, "--save", database, seconds=0.005)
    wait_for(lambda: len(lines(jsonl)) >= 150)
    process.kill()
    process.communicate()
    kept = lines(jsonl)
    assert [record["frame_id"] for record in kept] == list(range(len(kept)))
    committed = [row[0] for row in rows(database, "SELECT frame_id FROM verdicts")]
    assert committed == list(range(len(committed)))
    run("--camera", line, "--save", jsonl, "--save", database, "--max-frames", 5)
    assert len(lines(jsonl)) == len(kept) + 5
    # What was on its way when the process was killed came out of the spool
    (_, first), second = rows(database, "SELECT run_id, count(*) FROM verdicts GROUP BY run_id")
    assert len(committed) <= first and abs(first - len(kept)) <= 9  # each sink has a queue of eight
    assert second == (2, 5)


def test_a_terminal_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:02}.png").write_bytes(b"nothing")
    saved = tmp_path / "results.jsonl"
    process = start("--camera", tmp_path, "--save", saved, "--json")
    assert process.stderr is not None
    assert [process.stderr.readline()[:6] for _ in range(2)] == ["load p", "tested"]  # this program's own words
    process.stderr.close()
    output = process.communicate(timeout=30)[0]
    assert json.loads(output)["lost"] == len(lines(saved)) == 50


def test_a_failing_source_ends_in_one_line_and_keeps_what_was_judged(line: Path, tmp_path: Path) -> None:
    content = line.read_bytes()
    cut, saved = tmp_path / "cut.avi", tmp_path / "results.jsonl"
    cut.write_bytes(content[: len(content) // 2])
    output, errors = run("--camera", cut, "--save", saved, "--json", code=1)
    assert errors.splitlines()[-1].startswith("error: the video stops at frame ")
    assert json.loads(output)["judged"] == sum("fault" not in record for record in lines(saved)) > 100


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--camera", "0", "--camera", "1", "--video", "a.mp4"], 2, "--video shows one camera"),
        ([], 2, "Missing option '--camera'"),
        (["--camera", "0", "--max-frames", "0"], 2, "max-frames"),
        (["--camera", "0", "--policy", "newest"], 2, "newest"),
        (["--camera", "0", "--save", "a.jsonl", "--save", "./a.jsonl"], 2, "the same file twice"),
        (["--camera", "missing.mp4"], 1, "error: there is no such file or folder, missing.mp4, give a camera index"),
        (["--camera", "ftp://joe:secretpw@cell/x"], 1, "error: no source is known for ftp://, ftp://cell/x, give "),
        (["--camera", "63"], 1, "error: it cannot be opened, camera 63, there is no /dev/video63"),
        (["--camera", "rtsp://joe:secretpw@127.0.0.1:9/top"], 1, "error: it cannot be opened, rtsp://127.0.0.1:9/top"),
        (["--camera", "63", "--save", "results.xls"], 1, "error: no sink is known for .xls, results.xls, give "),
        (["--camera", "63", "--save", "/proc/results.jsonl"], 1, "error: cannot open the results file: "),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output, errors = run(*arguments, code=code)
    assert message in errors
    assert "Traceback" not in errors and "secretpw" not in output + errors
    assert os.listdir(tmp_path) == []  # noqa: PTH208
