from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks import open_sink

Make = Callable[..., tuple[Result, Frame]]


def records(path: Path) -> list[dict[str, object]]:
    content = path.read_bytes()
    assert content.endswith(b"\n") or not content
    return [json.loads(line) for line in content.splitlines()]


def test_one_line_per_verdict_and_fault(tmp_path: Path, make_result: Make, lost: LostFrame) -> None:
    path = tmp_path / "new" / "results.jsonl"
    result, frame = make_result(3)
    with open_sink(path) as sink:
        sink.write(result, frame)
        sink.lost(lost)
        assert len(records(path)) == 2  # there at once, not when the file closes
    verdict, fault = records(path)
    assert verdict == result.record()
    assert fault == {
        "frame_id": 7,
        "source": "rtsp://cell-4/top",
        "captured_at": "2023-11-14T22:13:27.500000+00:00",
        "fault": "no frame could be decoded",
    }


def test_an_existing_file_is_continued(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.jsonl"
    for number in range(3):
        with open_sink(path) as sink:
            sink.write(*make_result(number))
    assert [record["frame_id"] for record in records(path)] == [0, 1, 2]


def test_a_torn_line_is_set_aside(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.jsonl"
    with open_sink(path) as sink:
        sink.write(*make_result(0))
    with path.open("ab") as file:
        file.write(b'{"frame_id": 1, "sou')
    with open_sink(path) as sink:
        sink.write(*make_result(2))
    assert [record["frame_id"] for record in records(path)] == [0, 2]
    assert path.with_name("results.jsonl.torn").read_bytes() == b'{"frame_id": 1, "sou\n'


def test_a_whole_last_line_without_newline_is_kept(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"frame_id": 0}')
    with open_sink(path) as sink:
        sink.write(*make_result(1))
    assert [record["frame_id"] for record in records(path)] == [0, 1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"name,score\na,1\n", b"\x00" * (2 << 20), b"[1]\n"])
def test_a_file_of_another_kind_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    with pytest.raises(SinkError, match=r"no results file, .*other\.jsonl"), open_sink(path):
        pass
    assert path.read_bytes() == content


def test_a_full_disk_keeps_what_was_written_and_nothing_half(
    small_disk: Callable[[str], Path], make_result: Make
) -> None:
    path = small_disk("16k") / "results.jsonl"
    written = 0
    with (
        pytest.raises(SinkError, match=r"No space left on device, .*results\.jsonl, free space"),
        open_sink(path) as sink,
    ):
        for number in range(1000):
            sink.write(*make_result(number))
            written += 1
    assert [record["frame_id"] for record in records(path)] == list(range(written))
    assert written > 20


def test_a_folder_without_permission_is_an_error(locked_folder: Path) -> None:
    for name in ("results.jsonl", "sub/results.jsonl"):
        with (
            pytest.raises(SinkError, match=r"cannot open the results file: .*results\.jsonl"),
            open_sink(locked_folder / name),
        ):
            pass
    assert list(locked_folder.iterdir()) == []


def test_two_writers_of_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    code = (
        "import sys\nfrom edgead.sinks import open_sink\n"
        "with open_sink(sys.argv[1]):\n    print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"open\n"
    with pytest.raises(SinkError, match="another process writes this file"), open_sink(path):
        pass
    other.communicate()
    with open_sink(path):
        pass


def test_a_score_that_is_no_number_is_an_error(tmp_path: Path, make_result: Make) -> None:
    result, frame = make_result()
    with open_sink(tmp_path / "results.jsonl") as sink:
        sink.write(result, frame)
        with pytest.raises(SinkError, match=r"cannot be written: .*check the detector"):
            sink.write(replace(result, pred_score=float("nan")), frame)
    assert len(records(tmp_path / "results.jsonl")) == 1


def test_a_file_that_is_removed_is_begun_anew(
    tmp_path: Path, make_result: Make, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.jsonl"
    with open_sink(path) as sink:
        for number in range(9):
            if number == 5:
                path.unlink()
            sink.write(*make_result(number))
    assert [json.loads(line)["frame_id"] for line in path.read_bytes().splitlines()] == [5, 6, 7, 8]
    assert "was removed: a new one is begun" in caplog.text
