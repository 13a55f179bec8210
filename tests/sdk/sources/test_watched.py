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
    end = time.monotonic() + 5
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


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder to watch"), open_source(f"watch://{tmp_path}/none"):
        pass
