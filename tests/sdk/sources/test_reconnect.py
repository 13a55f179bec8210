"""Real cameras in processes of their own, killed and started again."""

from __future__ import annotations

import logging
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import SourceError
from edgead.frame import Frame, LostFrame, Reading, Signal
from edgead.sources import capture, open_source, rtsp
from edgead.sources.base import Source
from tests.lent_gstreamer import lend

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
from drawn import draw, recognise  # noqa: E402

SECRET = "secretpw"


class Killable:
    """A camera's process on a port that stays the same, and what it sent."""

    def __init__(self, kind: str, log: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.kind, self.log, self.options = kind, log, options
        self.address = f"{kind}://joe:{SECRET}@127.0.0.1:{self.port}/line"
        self.first = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Until it can be reached; that moment, of time.time()."""
        python = sys.executable if self.kind == "http" else "/usr/bin/python3"
        command = [python, FOLDER / f"{self.kind}_camera.py", str(self.port), str(self.first), "25", self.log]
        self.process = subprocess.Popen(
            [*command, *self.options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.first += 10_000
        assert self.process.stdout is not None and self.process.stderr is not None
        said = self.process.stdout.readline().split()
        if not said and self.process.wait() == 77:
            pytest.skip(f"no {self.kind} camera can be made here: {self.process.stderr.read().strip()}")
        return float(said[1])

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()

    def sent(self) -> set[tuple[int, ...]]:
        return {tuple(map(int, line.split())) for line in self.log.read_text().splitlines()}


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[Callable[..., Killable]]:
    made: list[Killable] = []

    def make(kind: str, *options: str) -> Killable:
        if kind == "rtsp" and not Path("/usr/bin/python3").exists():
            pytest.skip("the RTSP server needs Debian's Python")
        made.append(Killable(kind, tmp_path / "sent", *options))
        return made[-1]

    yield make
    for camera in made:
        camera.kill()


def read_for(source: Source, seconds: float, until: Callable[[Reading], bool] = lambda _: False) -> list[Reading]:
    readings: list[Reading] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        reading = source.read(0.1)
        assert time.monotonic() - began < 2.5  # whatever the camera does: OpenCV would take five
        if reading is not Signal.TIMEOUT:
            readings.append(reading)
        if until(reading):
            break
    return readings


def is_frame(reading: Reading) -> bool:
    return isinstance(reading, Frame)


@pytest.fixture(params=["ffmpeg", "gstreamer"])
def reader(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Who reads RTSP."""
    rtsp.has_rtsp.cache_clear()
    if request.param == "gstreamer":
        (tmp_path / "lent").mkdir()
        lend(tmp_path / "lent", monkeypatch, "rtspsrc", "decodebin", "openh264dec")
        assert rtsp.has_rtsp()
    else:
        monkeypatch.setattr(rtsp, "has_rtsp", lambda: False)
    yield request.param
    getattr(rtsp.has_rtsp, "cache_clear", lambda: None)()


@pytest.mark.parametrize(("kind", "options"), [("http", ["half"])])
def test_frames_go_on_after_every_kill(
    killable: Callable[..., Killable],
    kind: str,
    options: list[str],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _frames_go_on(killable, kind, options, capfd, caplog)


def test_frames_of_rtsp_go_on_after_every_kill(
    killable: Callable[..., Killable],
    reader: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    lags = _frames_go_on(killable, "rtsp", [], capfd, caplog)
    if reader == "gstreamer":
        assert np.percentile(lags, 10) < 0.03  # FFmpeg's are a frame period older, each of them


def _frames_go_on(
    killable: Callable[..., Killable],
    kind: str,
    options: list[str],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> list[float]:
    """Kill and start a camera; how old its frames were when they were captured, in seconds."""
    chance = random.Random(5)
    camera = killable(kind, *options)
    camera.start()
    source = open_source(camera.address)
    readings: list[Reading] = []
    with caplog.at_level(logging.DEBUG), source:
        for _ in range(3):
            readings += read_for(source, chance.uniform(0.3, 0.8))
            camera.kill()
            gone = read_for(source, 4, lambda reading: isinstance(reading, LostFrame))
            gone += read_for(source, chance.uniform(0.2, 1))
            assert [type(reading) for reading in gone if not is_frame(reading)] == [LostFrame]
            back = camera.start()
            again = read_for(source, 15, is_frame)
            frame = again[-1]
            assert isinstance(frame, Frame) and len(again) == 1
            assert back < frame.captured_at < back + 4.5  # and not after a time-out
            readings += [*gone, *again]
    frames = [reading for reading in readings if isinstance(reading, Frame)]
    pictures = [recognise(frame.image) for frame in frames]
    assert len(pictures) > 20
    assert set(pictures) <= camera.sent()  # each is whole, and was sent
    numbers = [picture[0] for picture in pictures if picture]
    assert numbers == sorted(set(numbers)) and numbers[-1] > 30_000
    ids = [reading.frame_id for reading in readings if isinstance(reading, Frame | LostFrame)]
    assert ids == sorted(set(ids)) and len(ids) + source.dropped == ids[-1] + 1
    assert source.dropped <= 3  # the last picture before a kill, where it might be cut
    lost = {reading.reason for reading in readings if isinstance(reading, LostFrame)}
    assert lost == {"the connection is lost: no more pictures come"}
    output = capfd.readouterr()
    said = caplog.text + output.out + output.err + repr([(frame.source) for frame in frames])
    assert SECRET not in said and "joe" not in said
    assert caplog.text.count("lost: ") == 1 and caplog.text.count("is back") == 1  # within ten seconds
    drawn = [picture[1] / 1e3 for picture in pictures if picture]
    return [frame.captured_at - moment for frame, moment in zip(frames, drawn, strict=True)]


def test_what_gstreamer_cannot_play_is_left_to_ffmpeg(
    killable: Callable[..., Killable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lent").mkdir()
    lend(tmp_path / "lent", monkeypatch, "rtspsrc", "decodebin")
    camera = killable("rtsp")
    camera.start()
    whole = rtsp.pipeline()
    monkeypatch.setattr(rtsp, "pipeline", lambda: whole.replace("decodebin", "identity"))  # as without a decoder
    monkeypatch.setattr(rtsp, "has_rtsp", lambda: True)
    with caplog.at_level(logging.WARNING), open_source(camera.address) as source:
        frame = read_for(source, 15, is_frame)[-1]
    assert isinstance(frame, Frame) and recognise(frame.image) in camera.sent()
    assert "is read by FFmpeg, a picture later" in caplog.text and SECRET not in caplog.text


def test_a_camera_that_answers_and_sends_nothing_is_waited_for_once(
    killable: Callable[..., Killable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp, "has_rtsp", lambda: False)
    monkeypatch.setattr(capture, "ANSWER_SECONDS", 3)
    camera = killable("rtsp", "mute")
    camera.start()
    began = time.monotonic()
    with pytest.raises(SourceError, match="sent no picture for 3 s"), open_source(camera.address, stall=0):
        pass
    assert time.monotonic() - began < 5.5


def test_a_camera_that_is_not_there_yet_is_waited_for_when_asked(killable: Callable[..., Killable]) -> None:
    camera = killable("http")
    with pytest.raises(SourceError, match="cannot be opened"), open_source(camera.address):
        pass
    with open_source(camera.address, wait=True) as source:
        assert source.read(0.3) is Signal.TIMEOUT
        back = camera.start()
        frame = read_for(source, 15, is_frame)[-1]
        assert isinstance(frame, Frame) and frame.frame_id == 0 and frame.captured_at < back + 4.5
        assert source.fps == 25


def test_a_camera_without_power_neither_refuses_nor_holds_anybody_up(
    killable: Callable[..., Killable], caplog: pytest.LogCaptureFixture
) -> None:
    """A queue that is full answers no packet, like a host that is off."""
    with socket.socket() as dead, socket.socket() as fills, socket.socket() as queue:
        dead.bind(("127.0.0.1", 0))
        dead.listen(0)
        for full in (fills, queue):
            full.setblocking(False)
            full.connect_ex(dead.getsockname())
        with open_source(f"rtsp://127.0.0.1:{dead.getsockname()[1]}/line", wait=True):
            camera = killable("http")
            camera.start()
            for _ in range(5):
                time.sleep(0.1)
                began = time.monotonic()
                with open_source(camera.address) as source:
                    assert is_frame(source.read(10))
                    began = time.monotonic() - began
                assert began < 4  # an attempt of FFmpeg's takes five
    assert "does not answer" not in caplog.text


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_picture_that_was_cut_by_the_end_is_not_delivered(length: bool, share: float) -> None:
    picture = np.frombuffer(draw(7, 1234), np.uint8).reshape(240, 320)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    size = b"Content-Length: %d\r\n" % len(jpeg) if length else b""
    part = b"--frame\r\nContent-Type: image/jpeg\r\n%s\r\n%s\r\n" % (size, jpeg)
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = open_source(f"http://127.0.0.1:{server.getsockname()[1]}/", wait=True)
        with source:
            while True:
                client, _ = server.accept()
                client.settimeout(5)
                if client.recv(4096):
                    break  # no knock
                client.close()
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
            client.sendall(part * 20)
            client.sendall(part[: int(len(part) * share)])
            client.close()
            readings = read_for(source, 10, lambda reading: isinstance(reading, LostFrame))
    frames = [reading for reading in readings if isinstance(reading, Frame)]
    assert len(frames) in (19, 20)
    assert {recognise(frame.image) for frame in frames} == {(7, 1234)}
