from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Any

import pytest

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame, Signal
from edgead.sources import camera as camera_module
from edgead.sources import capture as capture_module
from edgead.sources import open_source

HttpCamera = Any
SECRET = "secretpw"


def test_frames_of_an_http_camera(http_camera: HttpCamera) -> None:
    before = threading.active_count()
    source = open_source(http_camera.address)
    assert source.live
    began = time.time()
    with source:
        frames = [source.read(10) for _ in range(20)]
    ended = time.time()
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.frame_id for frame in frames] == list(range(20))
    assert [round(float(frame.image.mean())) for frame in frames] == list(range(20))
    assert {frame.source for frame in frames} == {f"http://127.0.0.1:{http_camera.server.server_port}/locked"}
    moments = [frame.captured_at for frame in frames]
    assert moments == sorted(moments) and began <= moments[0] and moments[-1] <= ended
    assert threading.active_count() <= before + 1  # the server's own thread for this client may still be sending
    assert http_camera.users[0] == f"joe:{SECRET}"


def test_a_cut_jpeg_is_lost_and_the_next_frame_is_good(http_camera: HttpCamera) -> None:
    http_camera.cut = {12}
    with open_source(http_camera.address) as source:
        readings = [source.read(10) for _ in range(20)]
    assert [reading.frame_id for reading in readings if isinstance(reading, LostFrame)] == [12]
    assert round(float(readings[13].image.mean())) == 13


def test_a_frame_behind_news_of_lost_ones_does_not_grow_old(http_camera: HttpCamera) -> None:
    http_camera.cut = {20, 24, 28, 32}
    source = open_source(http_camera.address)
    source.freshest = True
    with source:
        assert isinstance(source.read(2), Frame)
        time.sleep(1.5)
        began = time.time()
        readings = [source.read(2) for _ in range(6)]
    frames = [reading for reading in readings if isinstance(reading, Frame)]
    assert sum(isinstance(reading, LostFrame) for reading in readings) == 4
    assert all(began - frame.captured_at < 1 for frame in frames)  # not from before the first that was lost


def test_a_silent_camera_times_out_on_time_and_is_an_alarm(http_camera: HttpCamera) -> None:
    http_camera.stall_at = 5
    with open_source(http_camera.address, stall=2) as source:
        for _ in range(5):
            assert isinstance(source.read(10), Frame)
        began = time.monotonic()
        assert source.read(0.2) is Signal.TIMEOUT  # OpenCV is still inside its own read
        assert 0.19 < time.monotonic() - began < 1.5
        readings = [source.read(0.1) for _ in range(30)]
        assert 3.0 < time.monotonic() - began < capture_module.ANSWER_SECONDS
        http_camera.over.set()
    reasons = [reading.reason for reading in readings if isinstance(reading, LostFrame)]
    assert reasons == ["the camera gives no picture for 2 s"]  # once
    assert all(reading is Signal.TIMEOUT for reading in readings if not isinstance(reading, LostFrame))


def test_closing_while_the_camera_stalls_does_not_hang(
    http_camera: HttpCamera, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(camera_module, "CLOSE_SECONDS", 0.1)
    http_camera.stall_at = 3
    source = open_source(http_camera.address)
    with source, caplog.at_level(logging.WARNING):
        for _ in range(3):
            source.read(10)
        time.sleep(0.1)
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 4  # OpenCV comes back after five
    assert "does not answer" in caplog.text and SECRET not in caplog.text
    grabber = next(thread for thread in threading.enumerate() if thread.name == "edgead-camera")
    http_camera.over.set()
    grabber.join(5)
    assert not grabber.is_alive()  # it frees the camera by itself when OpenCV comes back


def sent_by_then(camera: HttpCamera, count: int) -> None:
    """Wait until a camera has sent so many pictures more, or no more as nobody reads them."""
    wanted, until = camera.sent + count, time.monotonic() + 10
    while camera.sent < wanted and time.monotonic() < until:
        time.sleep(0.01)


@pytest.mark.parametrize("freshest", [True, False])
def test_a_slow_reader_gets_the_freshest_frame_or_every_frame(http_camera: HttpCamera, freshest: bool) -> None:
    http_camera.fps = 100
    source = open_source(http_camera.address)
    source.freshest = freshest
    with source:
        assert isinstance(source.read(10), Frame)
        sent_by_then(http_camera, 40)
        moment = time.time()
        sent_by_then(http_camera, 60)
        late = [source.read(10) for _ in range(3)]
    numbers = [frame.frame_id for frame in late if isinstance(frame, Frame)]
    assert numbers == [round(float(frame.image.mean())) for frame in late]
    if freshest:
        assert numbers[0] > 20
        assert all(frame.captured_at > moment for frame in late)
        assert source.dropped >= 20
    else:
        assert numbers == [1, 2, 3]
        assert source.dropped == 0


def test_a_camera_that_is_slow_is_none_that_is_gone(http_camera: HttpCamera) -> None:
    """A picture in six seconds, where a camera is otherwise given five; FFmpeg wants three before the first."""
    http_camera.fps = 1 / 6
    with open_source(http_camera.address, stall=40) as source:
        readings = [source.read(30) for _ in range(4)]
    assert all(isinstance(reading, Frame) for reading in readings)
    assert len(http_camera.users) == 1  # connections


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp", "tcp"])
def test_an_unreachable_camera_says_what_to_check_and_no_password(
    scheme: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    source = open_source(f"{scheme}://joe:{SECRET}@127.0.0.1:{port}/top?token={SECRET}")
    with pytest.raises(SourceError, match="check the address, the user name and password") as raised, source:
        pass
    assert source.name == f"{scheme}://127.0.0.1:{port}/top?token=***"
    error: BaseException | None = raised.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__
    output = capfd.readouterr()
    assert SECRET not in output.out + output.err + caplog.text


def test_a_camera_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        address = f"rtsp://joe:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/top"
        with pytest.raises(SourceError), open_source(address, stall=0):
            pass
    assert time.monotonic() - began < 4  # and not after five


@pytest.mark.parametrize("spec", [63, "63", "/dev/video63"])
def test_a_missing_device_names_what_is_here(spec: str | int, capfd: pytest.CaptureFixture[str]) -> None:
    source = open_source(spec)
    with pytest.raises(SourceError, match=r"there is no /dev/video63; video devices here: .*plugged in"), source:
        pass
    assert capfd.readouterr().err == ""
