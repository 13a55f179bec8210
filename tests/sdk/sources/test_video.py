from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame, Reading, Signal
from edgead.sources import open_source
from edgead.sources.base import Source

MakeVideo = Callable[..., Path]


def read_all(source: Source) -> list[Reading]:
    readings: list[Reading] = []
    with source:
        while (reading := source.read(1)) is not Signal.END:
            readings.append(reading)
    return readings


def number_of(frame: Frame) -> int:
    return sum(int(frame.image[72, bit * 16 + 8].mean() > 127) << bit for bit in range(8))


@pytest.mark.parametrize(("name", "codec"), [("line.avi", "MJPG"), ("line.mp4", "mp4v"), ("line.mkv", "mp4v")])
def test_every_frame_comes_once_and_in_order(make_video: MakeVideo, name: str, codec: str) -> None:
    path = make_video(name, codec)
    source = open_source(str(path))
    assert not source.live
    readings = read_all(source)
    assert [number_of(frame) for frame in readings if isinstance(frame, Frame)] == list(range(30))
    assert [frame.frame_id for frame in readings if isinstance(frame, Frame)] == list(range(30))
    assert {frame.source for frame in readings if isinstance(frame, Frame)} == {str(path)}
    assert source.fps == 25


def test_a_second_opening_starts_again(make_video: MakeVideo) -> None:
    source = open_source(make_video())
    assert [frame.frame_id for frame in read_all(source)] == [frame.frame_id for frame in read_all(source)]


def test_frames_hold_after_the_next_read(make_video: MakeVideo) -> None:
    with open_source(make_video()) as source:
        first = source.read(1)
        assert isinstance(first, Frame)
        before = first.image.copy()
        source.read(1)
        np.testing.assert_array_equal(first.image, before)


def test_damage_inside_a_file_loses_frames_and_never_shows_smeared_ones(make_video: MakeVideo) -> None:
    path = make_video("line.mp4", "mp4v", frames=60)
    whole = [frame.image for frame in read_all(open_source(path)) if isinstance(frame, Frame)]
    content = bytearray(path.read_bytes())
    begin = len(content) * 45 // 100
    content[begin : begin + len(content) // 20] = bytes(len(content) // 20)
    path.write_bytes(content)
    readings = read_all(open_source(path))
    assert len(readings) == len(whole)
    assert [reading.frame_id for reading in readings if not isinstance(reading, Signal)] == list(range(60))
    lost = [reading for reading in readings if isinstance(reading, LostFrame)]
    assert {reading.reason for reading in lost} == {"no frame could be decoded", "decoded from a damaged predecessor"}
    # after the first loss, all that is delivered is exactly what the whole file gives
    after = [r for r in readings if isinstance(r, Frame) and r.frame_id > lost[0].frame_id]
    assert len(after) > 10
    for frame in after:
        np.testing.assert_array_equal(frame.image, whole[frame.frame_id])


def test_a_file_that_stops_early_is_an_error_after_its_last_frame(make_video: MakeVideo) -> None:
    path = make_video("line.mkv", "mp4v", frames=60)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    readings: list[Reading] = []
    with (
        open_source(path) as source,
        pytest.raises(SourceError, match=r"stops at frame \d+ of 60, .*line\.mkv, .*cut off"),
    ):
        for _ in range(100):
            readings.append(source.read(1))
    assert 20 <= sum(isinstance(reading, Frame) for reading in readings) < 40
    assert sum(isinstance(reading, LostFrame) for reading in readings) == 10
    assert Signal.END not in readings


@pytest.mark.parametrize("content", [b"", b"this is no video\n" * 100])
def test_what_is_no_video_is_an_error(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "line.mp4"
    path.write_bytes(content)
    with (
        pytest.raises(SourceError, match=r"cannot be opened, .*line\.mp4, check that it is a whole video"),
        open_source(path),
    ):
        pass
    assert capfd.readouterr().err == ""


def test_reading_outside_with_is_an_error(make_video: MakeVideo) -> None:
    with pytest.raises(SourceError, match="not open"):
        open_source(make_video()).read(1)
