from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.frame import Frame
from edgead.result import Result, Verdict
from edgead.sinks.audit import audit
from edgead.sinks.images import Pictures, image_folder
from edgead.sinks.sqlite import SqliteSink

Make = Callable[..., tuple[Result, Frame]]


def records(path: Path, kind: str) -> list[dict[str, object]]:
    with closing(sqlite3.connect(path)) as database:
        found = [json.loads(text) for (text,) in database.execute("SELECT record FROM records ORDER BY id")]
    return [record for record in found if record["kind"] == kind]


def noise(made: tuple[Result, Frame], seed: int = 0) -> tuple[Result, Frame]:
    image = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), np.uint8)
    return made[0], replace(made[1], image=image)


def test_rejects_and_a_part_of_the_accepts_are_kept(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path, pictures=Pictures(accepts=0.1)) as sink:
        sink.run = "0123456789abcdef"
        for number in range(600):
            sink.write(*make_result(number, Verdict.REJECT if number % 100 == 0 else Verdict.ACCEPT))
    kept = [record for record in records(path, "verdict") if "image" in record]
    accepts = [record for record in kept if record["verdict"] == "accept"]
    assert [record["frame_id"] for record in kept if record["verdict"] == "reject"] == [0, 100, 200, 300, 400, 500]
    assert 30 <= len(accepts) <= 90  # 594 draws of one in ten
    found = audit(path)
    assert found.broken is None and found.images == len(kept) == len(list(image_folder(path).iterdir()))


@pytest.mark.parametrize(("format", "quality"), [("png", 95), ("jpg", 95), ("jpg", 30)])
@pytest.mark.parametrize("shape", [(96, 128, 3), (96, 128)])
def test_a_picture_is_the_frame(
    tmp_path: Path, make_result: Make, format: str, quality: int, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "results.sqlite"
    result, frame = make_result(4)
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, shape, np.uint8), (0, 0), 4)
    with SqliteSink(path, pictures=Pictures(format=format, quality=quality)) as sink:
        sink.write(result, replace(frame, image=image))
    (file,) = image_folder(path).iterdir()
    assert file.name.startswith("20231114T221324.250000Z-") and file.name.endswith(f"-1-reject.{format}")
    difference = np.abs(cv2.imread(str(file), cv2.IMREAD_UNCHANGED).astype(int) - image).max()
    assert difference == 0 if format == "png" else 0 < difference < 30


def test_an_altered_and_a_removed_picture_are_found(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path, pictures=Pictures()) as sink:
        for number in range(5):
            sink.write(*make_result(number))
    assert audit(path).images == 5
    files = sorted(image_folder(path).iterdir())
    before = files[3].read_bytes()
    files[3].write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    broken = audit(path).broken
    assert broken is not None and broken.record == 5 and f"its picture {files[3].name} was altered" in broken.what
    files[3].unlink()
    broken = audit(path).broken
    assert broken is not None and broken.record == 5 and "is missing, and no record says" in broken.what
    assert audit(path, images=False).broken is None


def test_too_much_goes_accepts_first_and_is_on_record(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    pictures = Pictures(accepts=1.0, format="png", max_bytes=400_000)  # ten of them: noise of 96 x 128 x 3 bytes
    with SqliteSink(path, batch=7, pictures=pictures) as sink:
        for number in range(24):
            sink.write(*noise(make_result(number, Verdict.ACCEPT if number % 2 else Verdict.REJECT), number))
    left = sorted(image_folder(path).iterdir())
    assert sum(file.stat().st_size for file in left) <= 400_000 < sum(file.stat().st_size for file in left) + 40_000
    assert {file.stem.rpartition("-")[2] for file in left} == {"reject"}
    numbers = [int(file.stem.split("-")[2]) - 1 for file in left]
    assert numbers == list(range(24))[::2][-len(numbers) :]  # the newest rejects
    removed = records(path, "removed")
    assert len(removed) == 24 - len(left) and {record["reason"] for record in removed} == {"space"}
    found = audit(path)
    assert found.broken is None and (found.images, found.retired) == (len(left), len(removed))


def test_the_old_go_with_the_next_run(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path, pictures=Pictures()) as sink:
        for number in range(6):
            sink.write(*make_result(number))
    files = sorted(image_folder(path).iterdir())
    for file in files[:4]:
        os.utime(file, (time.time() - 31 * 86400,) * 2)
    leftover = image_folder(path) / ".old.jpg.partial"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    with SqliteSink(path, pictures=Pictures()):
        pass
    assert sorted(image_folder(path).iterdir()) == files[4:]
    assert [record["image"] for record in records(path, "removed")] == [file.name for file in files[:4]]
    assert {record["reason"] for record in records(path, "removed")} == {"age"}
    assert audit(path).broken is None and audit(path).retired == 4


def test_a_removal_that_is_not_committed_is_not_done(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "results.sqlite"
    sink = SqliteSink(path, batch=50, pictures=Pictures(format="png", max_bytes=100_000))
    sink.open()
    for number in range(3):
        sink.write(*noise(make_result(number)))
    before = sorted(image_folder(path).iterdir())
    other = sqlite3.connect(path, isolation_level=None)
    assert sink._database is not None
    sink._database.set_progress_handler(lambda: 1, 1)  # whatever it is asked next fails
    with pytest.raises(Exception, match="interrupted"):
        sink.flush()
    other.close()
    sink.close()
    assert sorted(image_folder(path).iterdir()) == before and audit(path).broken is None


def test_a_picture_never_costs_a_verdict(tmp_path: Path, make_result: Make, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "results.sqlite"
    image_folder(path).write_text("a file, where the folder should be")
    with SqliteSink(path, pictures=Pictures()) as sink:
        for number in range(3):
            sink.write(*make_result(number))
        sink.behind = True
        sink.write(*make_result(3))
    missing = [record["image"]["missing"] for record in records(path, "verdict")]  # type: ignore[index]
    assert missing == ["File exists"] * 3 + ["the line was faster than pictures can be written"]
    assert caplog.text.count("a picture cannot be kept") == 1
    assert audit(path).broken is None


def test_options_that_make_no_sense() -> None:
    for options in ({"format": "bmp"}, {"accepts": 1.5}, {"quality": 0}):
        with pytest.raises(ValueError, match="pictures are jpg or png"):
            Pictures(**options)


def test_another_run_removes_pictures_while_this_one_begins(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.sqlite"
    with SqliteSink(path, pictures=Pictures()) as sink:
        sink.write(*make_result(0))
    real = Path.iterdir

    def stale(folder: Path) -> Iterator[Path]:
        yield from real(folder)
        yield folder / "20231114T221320.000000Z-0123456789abcdef-5-reject.jpg"
        yield folder / ".gone.jpg.partial"

    monkeypatch.setattr(Path, "iterdir", stale)
    with SqliteSink(path, pictures=Pictures(max_bytes=1)):
        pass
    assert len(records(path, "removed")) == 1
