from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame, Reading, Signal
from edgead.sources import open_source
from edgead.sources.base import Source


def png(level: int) -> bytes:
    return cv2.imencode(".png", np.full((40, 60, 3), (level, 1, 2), np.uint8))[1].tobytes()


def read(source: Source, count: int) -> list[Reading]:
    readings: list[Reading] = []
    end = time.monotonic() + 20
    while len(readings) < count and time.monotonic() < end:
        reading = source.read(0.1)
        if reading is not Signal.TIMEOUT:
            readings.append(reading)
    return readings


def test_only_new_images_come_each_once_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(png(1))
    with open_source(f"watch://{tmp_path}") as source:
        assert source.read(0.3) is Signal.TIMEOUT
        for number, name in enumerate(["z.png", "a.png", "m.jpg.part", "k.png"]):
            (tmp_path / name).write_bytes(png(10 + number))
            time.sleep(0.02)
        (tmp_path / "m.jpg.part").rename(tmp_path / "m.png")
        readings = read(source, 4)
        assert [Path(reading.source).name for reading in readings if isinstance(reading, Frame)] == [
            "z.png",
            "a.png",
            "m.png",
            "k.png",
        ]
        assert [int(r.image[0, 0, 0]) for r in readings if isinstance(r, Frame)] == [10, 11, 12, 13]
        assert [r.frame_id for r in readings if isinstance(r, Frame)] == [0, 1, 2, 3]
        (tmp_path / "z.png").write_bytes(png(99))  # a new part under a name that is used again
        (again,) = read(source, 1)
        assert isinstance(again, Frame) and again.image[0, 0, 0] == 99
        assert source.read(0.3) is Signal.TIMEOUT
    with open_source(f"watch://{tmp_path}") as source:
        assert source.read(0.4) is Signal.TIMEOUT


def test_an_image_is_read_when_it_has_been_written_to_its_end(tmp_path: Path) -> None:
    content = png(7)
    done = threading.Event()

    def write_slowly() -> None:
        with (tmp_path / "slow.png").open("wb", buffering=0) as file:
            for at in range(0, len(content), len(content) // 8):
                file.write(content[at : at + len(content) // 8])
                os.fsync(file.fileno())
                time.sleep(0.08)
        done.set()

    with open_source(f"watch://{tmp_path}") as source:
        writer = threading.Thread(target=write_slowly)
        writer.start()
        (frame,) = read(source, 1)
        assert done.is_set()
        writer.join()
        assert isinstance(frame, Frame) and frame.image[0, 0].tolist() == [7, 1, 2]


def test_what_is_no_image_is_lost_by_name_and_the_watch_goes_on(tmp_path: Path) -> None:
    with open_source(f"watch://{tmp_path}") as source:
        (tmp_path / "torn.png").write_bytes(png(3)[:60])
        (tmp_path / "notes.txt").write_text("no image")
        (lost,) = read(source, 1)
        assert isinstance(lost, LostFrame) and lost.source == str(tmp_path / "torn.png")
        (tmp_path / "good.png").write_bytes(png(4))
        assert isinstance(read(source, 1)[0], Frame)


def test_a_folder_that_goes_away_and_comes_back_gives_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    (folder / "old.png").write_bytes(png(1))
    with open_source(f"watch://{folder}") as source:
        assert source.read(0.1) is Signal.TIMEOUT
        folder.rename(tmp_path / "away")
        assert source.read(0.2) is Signal.TIMEOUT
        (tmp_path / "away").rename(folder)
        assert source.read(0.4) is Signal.TIMEOUT


def test_a_share_that_is_away_may_look_empty(tmp_path: Path) -> None:
    folder, away = tmp_path / "share", tmp_path / "away"
    folder.mkdir()
    (folder / "old.png").write_bytes(png(1))
    with open_source(f"watch://{folder}") as source:
        folder.rename(away)
        folder.mkdir()  # the place where it is mounted
        assert source.read(0.4) is Signal.TIMEOUT
        folder.rmdir()
        away.rename(folder)
        assert source.read(0.6) is Signal.TIMEOUT
        (folder / "new.png").write_bytes(png(2))
        assert [Path(reading.source).name for reading in read(source, 1) if isinstance(reading, Frame)] == ["new.png"]


def test_an_image_that_gets_another_name_is_judged_once(tmp_path: Path) -> None:
    with open_source(f"watch://{tmp_path}") as source:
        (tmp_path / "part.png").write_bytes(png(5))
        assert isinstance(read(source, 1)[0], Frame)
        (tmp_path / "part.png").rename(tmp_path / "done.png")
        assert source.read(0.6) is Signal.TIMEOUT
        (tmp_path / "link.png").symlink_to(tmp_path / "done.png")  # a name of its own, as of a part that looks the same
        assert isinstance(read(source, 1)[0], Frame)


@pytest.mark.parametrize("gone", [False, True])
def test_an_image_that_moves_before_it_is_read(tmp_path: Path, gone: bool) -> None:
    with open_source(f"watch://{tmp_path}") as source:
        (tmp_path / "first.png").write_bytes(png(6))
        (tmp_path / "second.png").write_bytes(png(7))
        (first,) = read(source, 1)  # the second one waits from here on
        assert isinstance(first, Frame)
        (tmp_path / "second.png").rename(tmp_path / ("second.gone" if gone else "third.png"))
        (second,) = read(source, 1)
        if gone:
            assert isinstance(second, LostFrame) and second.source == str(tmp_path / "second.png")
            assert second.reason == "the image does not exist"
        else:
            assert isinstance(second, Frame) and second.source == str(tmp_path / "third.png")
            assert second.image[0, 0, 0] == 7
        assert source.read(0.6) is Signal.TIMEOUT and second.frame_id == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_writer_that_pauses_is_waited_for(tmp_path: Path, suffix: str) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    content = cv2.imencode(suffix, picture)[1].tobytes()

    def write() -> None:
        with (tmp_path / f"slow{suffix}").open("wb", buffering=0) as file:
            for part in (b"", content[:100], content[100:-20], content[-20:]):
                file.write(part)
                time.sleep(0.5)

    with open_source(f"watch://{tmp_path}") as source:
        writer = threading.Thread(target=write)
        writer.start()
        (frame,) = read(source, 1)
        writer.join()
        assert isinstance(frame, Frame) and frame.frame_id == 0
        whole = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(frame.image, whole)
        assert source.read(2.5) is Signal.TIMEOUT


@pytest.mark.parametrize("name", [b"\xff.png", b"new\nline.png", "\u00fcn\u00ef \U0001f600.PNG".encode(), b"-rf.png"])
def test_a_strange_name_is_a_name(tmp_path: Path, name: bytes) -> None:
    with open_source(f"watch://{tmp_path}") as source:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes(png(8))
        (frame,) = read(source, 1)
    assert isinstance(frame, Frame) and Path(frame.source) == path


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    with open_source(f"watch://{tmp_path}") as source:
        (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
        (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
        (tmp_path / "folder.png").mkdir()
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / ".hidden.png").write_bytes(png(1))
        assert source.read(0.6) is Signal.TIMEOUT


def test_looking_at_many_images_leaves_time_for_judging_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    scan = os.scandir

    def slowly(path: Path) -> object:
        looks.append(time.monotonic())
        time.sleep(0.2)  # as 50,000 images take
        return scan(path)

    with open_source(f"watch://{tmp_path}") as source:
        monkeypatch.setattr(os, "scandir", slowly)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            source.read(0.1)
    assert 2 <= len(looks) <= 6


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder to watch"), open_source(f"watch://{tmp_path}/none"):
        pass
