"""Cameras killed and started again at random: how soon inspection resumes, what is judged, and how old it is.

A process is the camera: MJPEG over HTTP, and RTSP by GStreamer's server where Debian's packages have it, read by
GStreamer where this Python has PyGObject (`rtsp`), and by OpenCV's FFmpeg (`ffmpeg`). SIGKILL ends it at a random
moment, it stays away for a random time, and a new one takes its port. Every picture says its number and when it was
drawn, to the millisecond; a judgement counts as honest when the camera's own log has that picture and every block of it
is as it was drawn. Judging takes a known time, longer than a frame period, so that frames do wait.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import measuring
import numpy as np
from numpy.typing import NDArray

from edgead.frame import Frame, Image, LostFrame
from edgead.result import Result, Verdict
from edgead.sources import rtsp
from edgead.streaming import Stream

CAMERAS = Path(__file__).parents[1] / "tests/sdk/sources"
sys.path.insert(0, str(CAMERAS))
from drawn import recognise  # noqa: E402

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's GStreamer is for its own Python


class Killed:
    """A camera's process, and its log of what it sent."""

    def __init__(self, kind: str, fps: int, folder: Path) -> None:
        self.protocol, self.fps, self.log = "http" if kind == "http" else "rtsp", fps, folder / f"{kind}.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"{self.protocol}://joe:secretpw@127.0.0.1:{self.port}/line"
        self._first = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Start it; the moment from which on it can be reached, in seconds since 1970."""
        python = sys.executable if self.protocol == "http" else SYSTEM_PYTHON
        command = [
            python,
            CAMERAS / f"{self.protocol}_camera.py",
            str(self.port),
            str(self._first),
            str(self.fps),
            self.log,
        ]
        self._first += 100_000
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        if not said:
            raise FileNotFoundError(f"there is no {self.protocol} camera here: code {self._process.wait()}")
        return float(said[1])

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def sent(self) -> set[tuple[int, int]]:
        return {(int(number), int(when)) for number, when in map(str.split, self.log.read_text().splitlines())}


class Seen(NamedTuple):
    """One judgement. picture: its number and milliseconds, None where it is none that was drawn. judged, captured:
    seconds since 1970. infer: milliseconds."""

    picture: tuple[int, int] | None
    judged: float
    captured: float
    infer: float


class Reader:
    """A judge that takes `seconds` and says which picture it saw; the rest of a detector is not needed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.seen: list[Seen] = []

    def prepare(self, image: Image) -> Image:
        return image

    def infer(self, image: Image) -> Image:
        time.sleep(self.seconds)
        return image

    def judge(self, image: Image, frame: Frame, timing: dict[str, float]) -> Result:
        judged = time.time()
        self.seen.append(Seen(recognise(image), judged, frame.captured_at, timing["infer"]))
        empty = np.zeros((1, 1), np.float32)
        return Result(0.5, True, empty, empty > 0, 0.0, Verdict.ACCEPT, (), frame.frame_id, frame.source,
                      frame.captured_at, timing, "")  # fmt: skip


def trial(kind: str, kills: int, fps: int, inference: float, seed: int) -> dict[str, Any]:
    """Kill and restart one kind of camera; the figures."""
    chance = random.Random(seed)
    stop = threading.Event()
    judge, lost, returns = Reader(inference), [], list[float]()
    with tempfile.TemporaryDirectory() as folder, patch.object(rtsp, "has_rtsp", lambda: kind == "rtsp"):
        camera = Killed(kind, fps, Path(folder))
        try:
            camera.start()

            def torment() -> None:
                time.sleep(2)
                for _ in range(kills):
                    time.sleep(chance.uniform(0.5, 3))
                    camera.kill()
                    time.sleep(chance.uniform(0, 4))
                    returns.append(camera.start())
                    while not any(seen.judged > returns[-1] for seen in judge.seen[-1:]):
                        if time.time() - returns[-1] > 20:
                            break
                        time.sleep(0.02)
                time.sleep(1)
                stop.set()

            thread = threading.Thread(target=torment)
            thread.start()
            with Stream(judge, camera.address, policy="latest", on_fault=lost.append, stop=stop) as run:
                ids = [result.frame_id for result in run]
            thread.join()
        finally:
            camera.kill()
        figures = report(judge.seen, returns, lost, camera.sent(), fps)
    return {**figures, "frame_ids_in_order": ids == sorted(set(ids)), **run.summary.to_json()}


def report(
    seen: list[Seen],
    returns: list[float],
    lost: list[LostFrame],
    sent: set[tuple[int, int]],
    fps: int,
) -> dict[str, Any]:
    """What the pictures say of themselves, against the camera's log."""
    pictures = [one.picture for one in seen if one.picture is not None]
    captured = [one.captured for one in seen]
    back = [min((moment for moment in captured if moment > begin), default=float("inf")) - begin for begin in returns]
    honest = [one for one in seen if one.picture is not None]
    lags = np.array([one.judged * 1e3 - one.picture[1] for one in honest if one.picture])
    grabbed = np.array([(one.judged - one.captured) * 1e3 for one in honest])
    limits = np.array([2e3 / fps + one.infer for one in honest])
    return {
        "kills": len(returns),
        "seconds_to_first_frame": {"median": round(float(np.median(back)), 3), "worst": round(max(back), 3)},
        "frames_not_sent": sum(one.picture is None or one.picture not in sent for one in seen),
        "frames_judged_twice": len(pictures) - len(set(pictures)),
        "out_of_order": sum(after <= before for before, after in pairwise(pictures)),
        "lag_ms_since_drawn": lag(lags, limits),
        "lag_ms_since_grabbed": lag(grabbed, limits),
        "faults": len(lost),
        "reasons": sorted({fault.reason for fault in lost}),
    }


def lag(lags: NDArray[np.float64], limits: NDArray[np.float64]) -> dict[str, float]:
    """Against two frame periods and the inference that each had."""
    at = {name: round(float(np.percentile(lags, percent)), 1) for name, percent in (("median", 50), ("p99", 99))}
    worst = {"worst": round(float(lags.max()), 1), "limit": round(float(np.median(limits)), 1)}
    return {**at, **worst, "above": int((lags > limits).sum()), "of": len(lags)}


def kinds(wanted: list[str]) -> Iterator[str]:
    """Those of which there is a camera here."""
    for kind in wanted:
        asked = "import gi; gi.require_version('GstRtspServer', '1.0')"
        if kind != "http" and (
            not Path(SYSTEM_PYTHON).exists() or subprocess.run([SYSTEM_PYTHON, "-c", asked], check=False).returncode
        ):
            print(f"{kind}: left out, as gir1.2-gst-rtsp-server-1.0 and python3-gi are not installed")
        elif kind == "rtsp" and not rtsp.has_rtsp():
            print(f"{kind}: left out, as this Python has no GStreamer")
        else:
            yield kind


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["http", "rtsp", "ffmpeg"])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--inference", type=float, default=0.06, help="seconds that judging takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    os.environ.pop("http_proxy", None)
    found = {
        kind: trial(kind, options.kills, options.fps, options.inference, options.seed) for kind in kinds(options.kinds)
    }
    for kind, figures in found.items():
        print(kind, *(f"  {name}: {value}" for name, value in figures.items()), sep="\n")
    setting = {"fps": options.fps, "inference_seconds": options.inference, "seed": options.seed}
    measuring.write(options.output, measuring.processor(), {**setting, **found})
