from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.data.images import SUFFIXES
from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame, Reading, Signal
from edgead.sources import IMAGES, open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good images, a JPEG that was cut off, one that is empty, and files of other kinds."""
    for number, name in enumerate(["c.png", "a.jpg", "e.bmp"]):
        image = np.zeros((20, 30, 3), np.uint8)
        image[:] = (10 * number, 100, 200)  # BGR
        assert cv2.imwrite(str(tmp_path / name), image)
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8), (0, 0), 3)
    jpeg = cv2.imencode(".jpg", texture)[1].tobytes()
    (tmp_path / "b.jpg").write_bytes(jpeg[: len(jpeg) * 6 // 10])
    (tmp_path / "d.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "c.png").read_bytes())
    (tmp_path / "sub.png").mkdir()
    return tmp_path


def read_all(spec: str | Path) -> list[Reading]:
    readings: list[Reading] = []
    with open_source(spec) as source:
        assert not source.live
        while (reading := source.read(0)) is not Signal.END:
            readings.append(reading)
        assert source.read(0) is Signal.END
    return readings


def test_a_folder_gives_its_images_in_order_and_reports_the_broken_ones(folder: Path) -> None:
    readings = read_all(folder)
    assert [reading.source for reading in readings] == [
        str(folder / name) for name in ("a.jpg", "b.jpg", "c.png", "d.png", "e.bmp")
    ]
    assert [reading.frame_id for reading in readings] == [0, 1, 2, 3, 4]
    assert [type(reading) for reading in readings] == [Frame, LostFrame, Frame, LostFrame, Frame]
    assert all(
        reading.reason and str(folder) not in reading.reason for reading in readings if isinstance(reading, LostFrame)
    )


def test_images_are_bgr(folder: Path) -> None:
    frame = read_all(folder / "e.bmp")[0]
    assert isinstance(frame, Frame)
    assert frame.image.flags.c_contiguous and frame.image.dtype == np.uint8
    np.testing.assert_array_equal(frame.image, cv2.imread(str(folder / "e.bmp")))
    assert frame.image[0, 0].tolist() == [20, 100, 200]


@pytest.mark.parametrize(("pattern", "names"), [("*.png", ["c.png", "d.png"]), ("[ce].*", ["c.png", "e.bmp"])])
def test_a_glob(folder: Path, pattern: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [reading.source for reading in read_all(f"{folder}/{pattern}")] == [str(folder / name) for name in names]
    monkeypatch.chdir(folder)
    assert [reading.source for reading in read_all(pattern)] == names


def test_a_glob_through_sub_folders(folder: Path) -> None:
    (folder / "sub.png" / "deep.png").write_bytes((folder / "c.png").read_bytes())
    assert str(folder / "sub.png" / "deep.png") in [reading.source for reading in read_all(f"{folder}/**/*")]


def test_an_image_that_disappears_is_lost(folder: Path) -> None:
    with open_source(folder) as source:
        (folder / "a.jpg").unlink()
        lost = source.read(0)
        assert isinstance(lost, LostFrame) and lost.source == str(folder / "a.jpg") and lost.reason
        source.read(0)
        assert isinstance(source.read(0), Frame)


@pytest.mark.parametrize("spec", ["empty", "empty/*.png"])
def test_nothing_to_read_is_an_error(tmp_path: Path, spec: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="there are no images"), open_source(str(tmp_path / spec)):
        pass


def test_the_suffixes_are_those_of_the_image_reader() -> None:
    assert set(IMAGES) == set(SUFFIXES)
