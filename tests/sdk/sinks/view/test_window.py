"""The window on a screen that is looked at: Xvfb's memory is what a monitor would show."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result, Verdict
from edgead.sinks.view import window as window_module
from edgead.sinks.view.heat import Heat
from edgead.sinks.view.wall import wall
from edgead.sinks.view.window import WindowSink
from edgead.streaming import Stream
from tests.sdk.sinks.view.screen import Screen, wait_for

Make = Callable[..., tuple[Result, Frame]]

GREEN, ORANGE, RED = (70, 160, 40), (0, 165, 255), (40, 40, 210)  # BGR


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    if shutil.which("Xvfb") is None or importlib.util.find_spec("_tkinter") is None:
        pytest.skip("there is no screen to look at: apt-get install xvfb libxtst6 python3-tk")
    folder = tmp_path / "screen"
    folder.mkdir()
    screen = Screen(folder)
    monkeypatch.setenv("DISPLAY", screen.display)
    yield screen
    screen.end()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def share(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    """How much of a picture has the colour."""
    return float((np.abs(picture.astype(int) - colour).max(axis=2) < 6).mean())


def wait_until_shown(sink: WindowSink, what: Callable[[], bool]) -> None:
    """Let the line pause until something is on the screen."""

    def shown() -> bool:
        sink.flush()
        return what()

    wait_for(shown)


def test_the_screen_shows_the_newest_verdict_and_is_clear_again(
    screen: Screen, make_result: Make, stop: threading.Event
) -> None:
    with WindowSink(stop) as sink:
        for verdict, colour in ((Verdict.ACCEPT, GREEN), (Verdict.REJECT, RED), (Verdict.WARN, ORANGE)):
            sink.write(*make_result(0, verdict, 480, 640))
            wait_until_shown(sink, lambda colour=colour: share(screen.picture(), colour) > 0.02)
        shown = screen.picture()
        assert share(shown, RED) < 0.02 and share(shown, GREEN) == 0
        assert share(shown, (90, 90, 90)) > 0.2  # the frame itself
        assert share(shown, (255, 255, 255)) > 0.0005  # what is written above
        assert not stop.is_set()
    wait_for(lambda: share(screen.picture(), ORANGE) == 0)
    sink.close()


def test_what_was_skipped_is_shown_when_the_line_pauses(
    screen: Screen, make_result: Make, stop: threading.Event
) -> None:
    with WindowSink(stop) as sink:
        for number in range(100):
            begin = time.perf_counter()
            sink.write(*make_result(number, Verdict.ACCEPT if number < 99 else Verdict.REJECT))
            assert time.perf_counter() - begin < 0.5
        wait_until_shown(sink, lambda: share(screen.picture(), RED) > 0.02)


def test_cameras_have_their_places(screen: Screen, make_result: Make, stop: threading.Event) -> None:
    cameras = ["rtsp://cell-4/top", "/photos/side", "camera 0"]
    result, frame = make_result(0, Verdict.ACCEPT, 480, 640)
    with WindowSink(stop, cameras=cameras) as sink:
        sink.write(result, frame)
        sink.write(replace(result, verdict=Verdict.REJECT, source="/photos/side/17.png"), frame)
        sink.lost(LostFrame(3, "camera 0", 0.0, "no frame could be decoded"))
        wait_until_shown(sink, lambda: share(screen.picture()[:240, 320:640], RED) > 0.02)
        wait_until_shown(sink, lambda: share(screen.picture()[240:480, :320], (48, 48, 48)) > 0.9)
        assert share(screen.picture()[:240, :320], GREEN) > 0.02
        screen.press("f")
        wait_until_shown(sink, lambda: share(screen.picture()[:300, 660:], RED) > 0.02)
        assert sink._size == (800, 600)
        screen.press("Escape")
        wait_for(lambda: sink._size == (640, 480))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 16, 23])
def test_a_wall_has_room_for_any_number_of_cameras(make_result: Make, count: int) -> None:
    result, frame = make_result(0, Verdict.ACCEPT, 480, 640)
    result = replace(result, anomaly_map=np.empty((0, 0), np.float32))
    grays = [100 + 5 * number for number in range(count)]
    newest = [(result, replace(frame, image=np.full((480, 640), gray, np.uint8))) for gray in grays]
    for width, height in ((1280, 720), (320, 240), (1, 1), (333, 701)):
        picture = wall([f"camera {number}" for number in range(count)], newest, Heat(), width, height)
        assert picture.shape[0] >= height and picture.shape[1] >= width
        found = [np.argwhere((picture == gray).all(axis=2)) for gray in grays]
        assert min(map(len, found)) > 160 * 120 / 4
        corners = [(int(place[:, 0].min()), int(place[:, 1].min())) for place in found]
        assert corners == sorted(corners) and len(set(corners)) == count
        columns = len({left for _, left in corners})
        assert len({top for top, _ in corners}) <= columns <= count and (columns - 1) ** 2 < count


class Line:
    """A detector that a stream can run, which counts."""

    max_batch = 1

    def __init__(self, make_result: Make, on_frame: Callable[[int], None]) -> None:
        self.make_result, self.on_frame = make_result, on_frame

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return image

    def infer(self, prepared: np.ndarray) -> np.ndarray:
        return prepared

    def infer_some(self, prepared: list[np.ndarray]) -> list[np.ndarray]:
        return prepared

    def judge(self, answer: np.ndarray, frame: Frame, timing: dict[str, float]) -> Result:
        self.on_frame(frame.frame_id)
        return replace(self.make_result(frame.frame_id, Verdict.ACCEPT)[0], timing=timing)


@pytest.mark.parametrize("how", ["q", "the cross"])
def test_whoever_looks_can_end_a_stream(
    screen: Screen, make_result: Make, stop: threading.Event, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def look(number: int) -> None:
        if not done and share(screen.picture(), GREEN) > 0.02:
            screen.press("q") if how == "q" else screen.close_window()
            done.append(how)

    saved = tmp_path / "line.jsonl"
    sinks = [WindowSink(stop), saved]
    with Stream(Line(make_result, look), "synthetic://?size=64&fps=50", sinks=sinks, stop=stop) as run:
        judged = sum(1 for _ in run)
    assert done and stop.is_set()
    assert judged == len(saved.read_bytes().splitlines()) == run.summary.judged
    assert not caplog.records


def test_a_display_that_goes_away_does_not_end_the_run(
    screen: Screen, make_result: Make, stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    gone_at: list[int] = []

    def look(number: int) -> None:
        if not gone_at and share(screen.picture(), GREEN) > 0.02:
            screen.end()
            gone_at.append(number)

    source = "synthetic://?size=64&fps=50"
    with Stream(Line(make_result, look), source, sinks=[WindowSink(stop)], stop=stop) as run:
        for result in run:
            if gone_at and result.frame_id > gone_at[0] + 50:
                break
    assert gone_at and not stop.is_set()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "the window has gone away; the run goes on without it"
    ]


def test_a_display_that_hangs_does_not_hold_up_the_line(
    screen: Screen, make_result: Make, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WindowSink(stop) as sink:
        sink.write(*make_result())
        wait_until_shown(sink, lambda: share(screen.picture(), RED) > 0.02)
        monkeypatch.setattr(window_module, "SEND_SECONDS", 0.2)
        screen.server.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        while time.monotonic() - begin < 1:
            sink.write(*make_result())
            time.sleep(0.02)
        begin = time.monotonic()
    assert time.monotonic() - begin < window_module.CLOSE_SECONDS + 1


def test_a_program_that_takes_no_picture_is_given_up(
    screen: Screen, make_result: Make, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WindowSink(stop) as sink:
        assert sink._program is not None
        wait_for(sink._shown.is_set)
        monkeypatch.setattr(window_module, "SEND_SECONDS", 0.2)
        sink._program.send_signal(signal.SIGSTOP)
        time.sleep(window_module.PERIOD_SECONDS)
        begin = time.monotonic()
        sink.write(*make_result())
        assert 0.15 < time.monotonic() - begin < 2
        assert sink._program.wait(5) == -signal.SIGKILL
        sink.write(*make_result())
    assert not stop.is_set()


def test_no_display_says_what_to_do(stop: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("_tkinter") is None:
        pytest.skip("there is no tkinter: apt-get install python3-tk")
    for display in (None, ":63517"):
        monkeypatch.delenv("DISPLAY", raising=False) if display is None else monkeypatch.setenv("DISPLAY", display)
        with pytest.raises(SinkError, match=r"no window can be opened: .*display.*, window, .*--web"), WindowSink(stop):
            pass
    assert not stop.is_set()


def test_a_python_without_tkinter_says_what_to_install(
    stop: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = "import sys, runpy; sys.modules['tkinter'] = None; runpy.run_path(sys.argv[2], run_name='__main__')"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{without}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(window_module, "sys", SimpleNamespace(executable=str(python)))
    with (
        pytest.raises(SinkError, match=r"no tkinter, window, run `apt-get install python3-tk`.*--web"),
        WindowSink(stop),
    ):
        pass


def test_a_window_outlives_no_run(screen: Screen) -> None:
    code = """import threading, time
from edgead.frame import LostFrame
from edgead.sinks.view.window import WindowSink
with WindowSink(threading.Event()) as sink:
    while True:
        sink.lost(LostFrame(0, "camera 0", 0.0, "dark"))
        time.sleep(0.1)
"""
    run = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: share(screen.picture(), (48, 48, 48)) > 0.5)
    run.kill()
    run.wait()
    wait_for(lambda: share(screen.picture(), (48, 48, 48)) == 0)
