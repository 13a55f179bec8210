from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result, Verdict
from edgead.sinks import open_sink
from edgead.sinks.view import video as video_module
from edgead.sinks.view.annotate import annotate
from edgead.sinks.view.opencv_encoder import CODECS
from edgead.sinks.view.video import VideoSink
from edgead.sources import open_source

Make = Callable[..., tuple[Result, Frame]]


@pytest.fixture(autouse=True)
def without_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)


def read(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (given := capture.read())[0]:
        frames.append(given[1])
    return frames


@pytest.mark.parametrize("name", ["line.mp4", "line.avi"])
def test_every_frame_is_in_the_video_with_its_verdict(
    tmp_path: Path, make_result: Make, lost: LostFrame, name: str
) -> None:
    path = tmp_path / "new" / name
    with open_sink(path) as sink:
        for number in range(12):
            sink.write(*make_result(number, Verdict.REJECT if number < 6 else Verdict.ACCEPT, 240, 320))
            sink.lost(lost)
            sink.flush()
        assert not path.exists()
    frames = read(path)
    assert len(frames) == 12
    assert {frame.shape for frame in frames} == {(240, 320, 3)}
    for number, frame in enumerate(frames):
        _, green, red = frame[2:6].mean(axis=(0, 1))  # the banner above
        assert (red > green + 50) if number < 6 else (green > red + 50)
    assert list(path.parent.iterdir()) == [path]


def test_the_picture_shows_heat_and_box_where_the_defect_is(make_result: Make) -> None:
    result, frame = make_result(
        0, Verdict.REJECT, 960, 1280
    )  # the map's hot part is rows 8 to 11, columns 8 to 15 of 32
    before = frame.image.copy()
    picture = annotate(result, frame.image, (0.0, 2.0), 1280, 960)
    np.testing.assert_array_equal(frame.image, before)
    banner = 60
    scale = (960 - banner) / 960
    left = (1280 - round(1280 * scale)) // 2
    hot = picture[banner + round(300 * scale), left + round(480 * scale)].astype(int)
    cold = picture[banner + round(700 * scale), left + round(480 * scale)].astype(int)
    assert np.abs(hot - 90).max() > 40 > np.abs(cold - 90).max()
    x, y, width, _ = (round(value * scale) for value in result.regions[0].box)
    assert picture[banner + y, left + x + width // 2, 2] > 150  # the upper side of the box, red


def test_a_long_name_does_not_run_into_the_verdict(make_result: Make) -> None:
    result, frame = make_result(12345, Verdict.REJECT, 240, 320)
    for width in (1280, 320, 160):
        short, long = (
            annotate(replace(result, source=f"cameras/{name}"), frame.image, (0.0, 2.0), width, 240)[:24]
            for name in ("x", "a camera with a name that is quite long indeed")
        )
        verdict = cv2.getTextSize("REJECT  0.900", cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)[0][0] + 6
        np.testing.assert_array_equal(short[:, :verdict], long[:, :verdict])
        right = [np.flatnonzero((banner[:, verdict:] > 200).all(axis=2).any(axis=0)) for banner in (short, long)]
        assert width == 160 or right[0].max() == right[1].max()  # the number of the frame, at the right edge
        assert len(right[1]) >= len(right[0])


@pytest.mark.parametrize("shape", [(96, 128), (128, 96, 1)])
def test_gray_frames(tmp_path: Path, make_result: Make, shape: tuple[int, ...]) -> None:
    result, frame = make_result(0)
    gray = Frame(np.full(shape, 80, np.uint8), 0, frame.source, frame.captured_at)
    with open_sink(tmp_path / "line.avi") as sink:
        sink.write(result, gray)
    assert len(read(tmp_path / "line.avi")) == 1


def test_what_a_gpu_has_drawn_is_taken_as_it_is(make_result: Make) -> None:
    result, frame = make_result(0, Verdict.ACCEPT, 240, 320)
    drawn = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    away = np.empty((0, 0))
    result = replace(result, anomaly_map=away.astype(np.float32), pred_mask=away.astype(bool), regions=())
    for shown, overlay in ((frame.image, None), (drawn, drawn)):
        picture = annotate(replace(result, overlay=overlay), frame.image, (0.0, 2.0), 320, 264)
        np.testing.assert_array_equal(picture[24:], shown)


def test_a_video_without_maps(tmp_path: Path, make_result: Make) -> None:
    result, frame = make_result(0, Verdict.REJECT, 240, 320)
    away = np.empty((0, 0), np.float32)
    with open_sink(tmp_path / "line.mp4") as sink:
        sink.write(replace(result, anomaly_map=away, pred_mask=away >= 0), frame)
    assert len(read(tmp_path / "line.mp4")) == 1


def test_frames_of_other_sizes_are_fitted_into_the_first(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "line.avi"
    with open_sink(path) as sink:
        for height, width in ((201, 333), (400, 200), (20, 900), (3000, 4000)):
            sink.write(*make_result(0, Verdict.ACCEPT, height, width))
    assert [frame.shape for frame in read(path)] == [(200, 332, 3)] * 4


def test_large_frames_are_made_smaller_and_tiny_ones_legible(tmp_path: Path, make_result: Make) -> None:
    for (height, width), expected in {(3000, 4000): (960, 1280, 3), (16, 16): (120, 160, 3)}.items():
        path = tmp_path / f"{height}.avi"
        with open_sink(path) as sink:
            sink.write(*make_result(0, Verdict.ACCEPT, height, width))
        assert [frame.shape for frame in read(path)] == [expected]


def test_the_rate_is_that_of_the_source(tmp_path: Path, make_result: Make) -> None:
    for spec, fps in {"synthetic://?fps=10": 10, "synthetic://": 25}.items():
        with VideoSink(tmp_path / "line.mp4", source=open_source(spec)) as sink:
            sink.write(*make_result(0))
        assert cv2.VideoCapture(str(tmp_path / "line.mp4")).get(cv2.CAP_PROP_FPS) == fps


def test_a_run_without_frames_leaves_nothing(tmp_path: Path) -> None:
    with open_sink(tmp_path / "line.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_older_video_stays_until_the_new_one_is_whole(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "line.avi"
    path.write_bytes(b"older")
    with open_sink(path) as sink:
        sink.write(*make_result(0))
        assert path.read_bytes() == b"older"
    assert len(read(path)) == 1


@pytest.mark.parametrize("name", ["line.mp4", "line.avi"])
def test_a_full_disk_keeps_a_whole_video_of_what_fitted(
    small_disk: Callable[[str], Path], make_result: Make, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_disk("2m") / name
    result, frame = make_result(0, Verdict.ACCEPT, 240, 320)
    noise = np.random.default_rng(0).integers(0, 255, frame.image.shape).astype(np.uint8)
    noisy = Frame(noise, 0, frame.source, frame.captured_at)
    written = 0
    with pytest.raises(SinkError, match=r"the disk is full, .*line\."), open_sink(path) as sink:
        for _ in range(1000):
            sink.write(result, noisy)
            written += 1
    assert len(read(path)) == written > 3
    assert list(path.parent.iterdir()) == [path]


def test_a_video_that_did_not_reach_the_disk_does_not_take_the_name(
    small_disk: Callable[[str], Path], make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_disk("1m") / "line.mp4"
    monkeypatch.setattr(video_module, "_SPARE", -(1 << 30))  # as if the disk were filled by somebody else meanwhile
    result, frame = make_result(0, Verdict.ACCEPT, 240, 320)
    noise = np.random.default_rng(0).integers(0, 255, frame.image.shape).astype(np.uint8)
    with pytest.raises(SinkError, match=r"the video holds \d+ of 60 frames, it is not kept"), open_sink(path) as sink:
        for number in range(60):
            sink.write(result, Frame(np.roll(noise, number, 0), number, frame.source, frame.captured_at))
    assert list(path.parent.iterdir()) == []


def test_places_that_cannot_be_written(locked_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for path in (locked_folder / "line.mp4", locked_folder / "sub" / "line.mp4", tmp_path / "folder.mp4"):
        with pytest.raises(SinkError, match=r"cannot make the video: .*\.mp4"), open_sink(path):
            pass
    assert list(locked_folder.iterdir()) == []


def test_a_codec_that_is_missing_is_an_error(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CODECS, ".mp4", "zzzz")
    monkeypatch.setattr(video_module, "FPS", 0.0)
    with (
        pytest.raises(SinkError, match=r"cannot write \.mp4 video, .*use \.mp4 or \.avi"),
        open_sink(tmp_path / "a.mp4") as sink,
    ):
        sink.write(*make_result(0))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_lists_the_known_ones() -> None:
    for name in ("results.xls", "results"):
        with pytest.raises(
            SinkError, match=r"no sink is known for .*give one of \.jsonl, \.sqlite, \.db, \.mp4, \.avi"
        ):
            open_sink(name)


def test_a_folder_that_goes_during_the_run_is_an_error(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "new" / "line.avi"
    sink = open_sink(path)
    sink.open()
    sink.write(*make_result(0))
    shutil.rmtree(path.parent)
    with pytest.raises(SinkError, match="cannot be reached: No such file"):
        sink.write(*make_result(1))
    with pytest.raises(SinkError):
        sink.close()
