"""Real videos and a real HTTP camera."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

USER, PASSWORD = "joe", "secretpw"


def numbered(number: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A frame with its number in black and white blocks, below some texture, for the codecs to predict."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:48] = np.random.default_rng(number).integers(0, 255, (48, width, 3))
    for bit in range(8):
        image[48:, bit * 16 : bit * 16 + 16] = 255 * (number >> bit & 1)
    return image


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "line.avi", codec: str = "MJPG", frames: int = 30) -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (128, 96))
        assert writer.isOpened()
        for number in range(frames):
            writer.write(numbered(number))
        writer.release()
        return path

    return make


class HttpCamera:
    """An MJPEG camera: sends frames from `begin` on, cut ones as told, until it is told to stall or to hang up."""

    def __init__(self) -> None:
        self.fps = 50.0
        self.cut: set[int] = set()  # frames whose JPEG ends half way
        self.stall_at = self.hang_up_at = 10**9
        self.sent = 0
        self.users: list[str] = []
        self.over = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                if "Authorization" not in self.headers and "locked" in self.path:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                if "Authorization" in self.headers:
                    camera.users.append(base64.b64decode(self.headers["Authorization"].split()[1]).decode())
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    camera.send(self.wfile.write)
                except OSError:
                    camera.over.set()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.address = f"http://{USER}:{PASSWORD}@127.0.0.1:{self.server.server_port}/locked"

    def send(self, write: Callable[[bytes], object]) -> None:
        for number in range(10**9):
            if number >= self.hang_up_at or self.over.is_set():
                return
            if number >= self.stall_at:
                self.over.wait(30)
                return
            jpeg = cv2.imencode(".jpg", np.full((96, 128, 3), number % 250, np.uint8))[1].tobytes()
            jpeg = jpeg[: len(jpeg) // 2] if number in self.cut else jpeg
            write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg))
            self.sent += 1
            time.sleep(1 / self.fps)

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def http_camera() -> Iterator[HttpCamera]:
    camera = HttpCamera()
    yield camera
    camera.close()
