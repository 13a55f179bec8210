"""Videos by GStreamer's encoders. Those in software are run; of those in hardware the pipelines are read."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgead.errors import SinkError
from edgead.frame import Frame
from edgead.result import Result, Verdict
from edgead.sinks import open_sink
from edgead.sinks.view import encoders
from edgead.sinks.view import gstreamer_encoder as module
from edgead.sinks.view import video as video_module
from edgead.sinks.view.encoders import ELEMENTS, elements, frames_in, open_encoder
from edgead.sinks.view.gstreamer_encoder import GStreamerEncoder, planes
from tests.lent_gstreamer import lend

Make = Callable[..., tuple[Result, Frame]]

SOFTWARE = ["x264enc", "openh264enc"]
HARDWARE = [name for name in ELEMENTS if name not in SOFTWARE]


@pytest.fixture
def gst(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = tmp_path_factory.mktemp("lent")
    return lend(folder, monkeypatch, "appsrc", "videoconvert", "h264parse", "mp4mux", "filesink", *SOFTWARE)


@pytest.fixture(autouse=True)
def no_trial_is_remembered() -> None:
    encoders.works.cache_clear()


def photograph(number: int, height: int, width: int) -> np.ndarray:
    """A smooth picture with colours that moves."""
    y, x = np.mgrid[:height, :width] + number
    return np.stack([128 + 80 * np.sin(x / 17), 128 + 80 * np.cos(y / 23), 128 + 80 * np.sin((x + y) / 31)], 2).astype(
        np.uint8
    )


def read(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (given := capture.read())[0]:
        frames.append(given[1])
    return frames


@pytest.mark.parametrize("name", SOFTWARE)
@pytest.mark.parametrize("size", [(320, 240), (334, 202), (330, 120)])
def test_every_picture_is_in_the_video(gst: Any, tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    path = tmp_path / 'a "video", of %d parts.mp4'
    pictures = [photograph(number, size[1], size[0]) for number in range(30)]
    encoder = open_encoder(name, path, "line.mp4", size, 12.5)
    for picture in pictures:
        encoder.write(picture)
    encoder.close()
    encoder.close()
    frames = read(path)
    assert len(frames) == frames_in(path) == 30
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 12.5
    assert min(cv2.PSNR(picture, frame) for picture, frame in zip(pictures, frames, strict=True)) > 32


@pytest.mark.parametrize("size", [(8, 4), (332, 200), (330, 202), (334, 120)])
def test_gstreamer_reads_the_planes_as_they_are_meant(gst: Any, size: tuple[int, int]) -> None:
    """GStreamer's own conversion back gives the picture that OpenCV's gives, for every width."""
    image = photograph(3, size[1], size[0])
    caps = f"video/x-raw,format=I420,width={size[0]},height={size[1]},framerate=25/1,colorimetry=bt601"
    text = f"appsrc name=in caps={caps} ! videoconvert ! video/x-raw,format=BGRx ! appsink name=out sync=false"
    line = gst.parse_launch(text)
    line.set_state(gst.State.PLAYING)
    line.get_by_name("in").emit("push-buffer", gst.Buffer.new_wrapped(planes(image)))
    buffer = line.get_by_name("out").emit("try-pull-sample", 5 * gst.SECOND).get_buffer()
    line.set_state(gst.State.NULL)
    back = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8).reshape(size[1], size[0], 4)[..., :3]
    there = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), cv2.COLOR_YUV2BGR_I420)
    assert np.abs(back.astype(int) - there).max() <= 12  # one of them interpolates chroma
    assert cv2.PSNR(back, image) > 32


@pytest.mark.parametrize("name", SOFTWARE)
def test_the_sink_keeps_its_promises(gst: Any, tmp_path: Path, make_result: Make, name: str) -> None:
    path = tmp_path / "line.mp4"
    path.write_bytes(b"older")
    with open_sink(path, encoder=name) as sink:
        for number in range(12):
            sink.write(*make_result(number, Verdict.REJECT if number < 6 else Verdict.ACCEPT, 240, 320))
        assert path.read_bytes() == b"older"
    frames = read(path)
    assert len(frames) == 12
    for number, frame in enumerate(frames):
        _, green, red = frame[2:6].mean(axis=(0, 1))
        assert (red > green + 50) if number < 6 else (green > red + 50)
    assert list(tmp_path.iterdir()) == [path]
    with open_sink(tmp_path / "empty.mp4", encoder=name):
        pass
    assert list(tmp_path.iterdir()) == [path]


def noise(make_result: Make) -> tuple[Result, Frame]:
    result, frame = make_result(0, Verdict.ACCEPT, 240, 320)
    return result, Frame(
        np.random.default_rng(0).integers(0, 255, frame.image.shape).astype(np.uint8), 0, frame.source, 0.0
    )


@pytest.mark.parametrize("name", SOFTWARE)
def test_a_full_disk_keeps_a_whole_video_of_what_fitted(
    gst: Any, small_disk: Callable[[str], Path], make_result: Make, name: str
) -> None:
    path = small_disk("1600k") / "line.mp4"
    result, frame = noise(make_result)
    written = 0
    with pytest.raises(SinkError, match=r"the disk is full, .*line\."), open_sink(path, encoder=name) as sink:
        for number in range(3000):
            image = np.roll(frame.image, 7 * number, 0)
            sink.write(result, Frame(image, number, frame.source, 0.0))
            written += 1
    assert len(read(path)) == written > 3
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_somebody_else_fills_is_an_error(
    gst: Any, small_disk: Callable[[str], Path], make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_disk("200k") / "line.mp4"
    monkeypatch.setattr(video_module, "_SPARE", -(1 << 30))
    result, frame = noise(make_result)
    sink = open_sink(path, encoder="x264enc")
    sink.open()
    with pytest.raises(SinkError, match=r"^the disk is full, .*line\.mp4, free space"):
        for number in range(300):
            sink.write(result, Frame(np.roll(frame.image, 7 * number, 0), number, frame.source, 0.0))
    with pytest.raises(SinkError, match=r"the video holds \d+ of \d+ frames, it is not kept"):
        sink.close()
    assert list(path.parent.iterdir()) == []


def test_a_killed_process_leaves_a_video_that_plays(gst: Any, tmp_path: Path) -> None:
    if "fragment" not in module.muxer(gst):
        pytest.skip("GStreamer joins pieces from 1.20 on")
    path = tmp_path / "line.mp4"
    gi = str(Path(str(sys.modules["gi"].__file__)).parents[1])
    code = f"""import sys; sys.path.append({gi!r})
import numpy as np
from pathlib import Path
from edgead.sinks.view.encoders import open_encoder
encoder = open_encoder("x264enc", Path({str(path)!r}), "x", (320, 240), 25.0)
for number in range(100):
    encoder.write(np.full((240, 320, 3), number, np.uint8))
print("written", flush=True)
input()
"""
    run = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stdout.readline() == "written\n"
    time.sleep(0.3)
    run.kill()
    run.wait()
    frames = read(path)
    assert 50 <= len(frames) < 100
    assert all(abs(frame.mean() - number) < 4 for number, frame in enumerate(frames))


STUCK = "identity sleep-time=60000000 ! x264enc"  # a minute for each picture


def test_an_encoder_that_hangs_does_not_hold_up_the_line_for_ever(gst: Any, tmp_path: Path) -> None:
    begin = time.monotonic()
    encoder = GStreamerEncoder(tmp_path / "a.mp4", "line.mp4", (320, 240), 25.0, STUCK, patience=0.3)
    message = r"x264enc cannot encode the video: it takes no picture for .*, line\.mp4, .*--video-encoder"
    with pytest.raises(SinkError, match=message):
        for number in range(10):
            encoder.write(photograph(number, 240, 320))
    encoder.close()
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("elements", [STUCK, "valve drop=true ! x264enc"])
def test_an_end_that_does_not_come_is_an_error(gst: Any, tmp_path: Path, elements: str) -> None:
    encoder = GStreamerEncoder(tmp_path / "a.mp4", "line.mp4", (320, 240), 25.0, elements, patience=0.3)
    encoder.write(photograph(0, 240, 320))
    begin = time.monotonic()
    with pytest.raises(SinkError, match="it does not come to an end, line"):
        encoder.close()
    assert time.monotonic() - begin < 3
    encoder.close()


def test_the_first_that_works_is_taken_and_named(
    gst: Any, tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An encoder that is installed and fails, as where its hardware is missing, gives way to the next."""
    broken = {
        "no encoder at all": "identity error-after=1 ! x264enc",
        "loses pictures": "identity drop-probability=1 ! x264enc",
    }
    monkeypatch.setattr(encoders, "ELEMENTS", {**broken, **ELEMENTS})
    monkeypatch.setattr(encoders, "TRIAL_SECONDS", 1.0)
    caplog.set_level(logging.INFO, "edgead")
    with open_sink(tmp_path / "line.mp4") as sink:
        for number in range(3):
            sink.write(*make_result(number))
    assert frames_in(tmp_path / "line.mp4") == 3
    said = [record.getMessage() for record in caplog.records]
    named = [text for text in said if "is encoded by" in text]
    assert named == [f"{tmp_path}/line.mp4 is encoded by {next(n for n in encoders.found() if n not in broken)}"]
    assert any(text.startswith("no encoder at all does not work here") for text in said)
    with (
        pytest.raises(SinkError, match=r"no encoder at all is here, and cannot encode 160 x 120 pixels, .* x264enc, "),
        open_sink(tmp_path / "other.mp4", encoder="no encoder at all") as sink,
    ):
        sink.write(*make_result())
    assert not (tmp_path / "other.mp4").exists()


def test_one_that_is_not_here_is_an_error_that_names_those_that_are(gst: Any, tmp_path: Path) -> None:
    for name in ("nvh264enc", "mpeg"):
        if name in encoders.found():
            continue
        message = rf"^there is no encoder {name}, .*a\.mp4, give .*x264enc, openh264enc, opencv or auto$"
        with pytest.raises(SinkError, match=message), open_sink(tmp_path / "a.mp4", encoder=name):
            pass
    with (
        pytest.raises(SinkError, match=r"x264enc writes \.mp4 videos"),
        open_sink(tmp_path / "a.avi", encoder="x264enc"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_gstreamer_opencv_does_it(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    caplog.set_level(logging.INFO, "edgead")
    for name in ("line.mp4", "line.avi"):
        with open_sink(tmp_path / name) as sink:
            sink.write(*make_result())
        assert frames_in(tmp_path / name) == 1
    assert [record.getMessage().split()[-1] for record in caplog.records] == ["opencv"] * 2
    with pytest.raises(SinkError, match="give opencv or auto"), open_sink(tmp_path / "b.mp4", encoder="x264enc"):
        pass


@pytest.mark.parametrize("name", HARDWARE)
def test_around_an_encoder_in_hardware_all_fits(gst: Any, tmp_path: Path, name: str) -> None:
    """What this machine lacks is replaced, the encoder by x264enc; then the pipeline runs."""
    text = elements(name, (320, 240), 30.0)
    bits = 320 * 240 * 30 * 0.1
    rate = float(re.findall(r"bitrate=(\d+)", text)[0])
    assert rate == (bits if name in ("nvv4l2h264enc", "v4l2h264enc") else bits // 1000)
    text = re.sub(rf"{name}( [a-z0-9-]+=\S+)+", "x264enc tune=zerolatency", text)
    text = text.replace("nvvidconv", "videoconvert").replace("(memory:NVMM)", "")
    encoder = GStreamerEncoder(tmp_path / "a.mp4", "a.mp4", (320, 240), 30.0, text)
    pictures = [photograph(number, 240, 320) for number in range(5)]
    for picture in pictures:
        encoder.write(picture)
    encoder.close()
    assert [cv2.PSNR(*pair) > 32 for pair in zip(pictures, read(tmp_path / "a.mp4"), strict=True)] == [True] * 5


def test_the_order_is_hardware_first() -> None:
    assert list(ELEMENTS) == HARDWARE + SOFTWARE
    assert HARDWARE == ["nvv4l2h264enc", "nvh264enc", "vah264enc", "vaapih264enc", "v4l2h264enc"]
