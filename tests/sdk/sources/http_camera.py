"""An MJPEG camera over HTTP as a process that can be killed: PORT FIRST FPS LOG [half].

It says `ready <seconds since 1970>` when it can be reached. Every picture's number and milliseconds go to LOG before
it is sent. half: a picture is sent in two halves, half a period apart, so that a kill often cuts one.
"""

from __future__ import annotations

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
from drawn import HEIGHT, WIDTH, draw

FIRST, FPS, LOG = int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
IN_HALVES = "half" in sys.argv
BEGAN = time.monotonic()
log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Client(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            while True:
                self.picture()
        except OSError:
            pass  # the client has gone

    def picture(self) -> None:
        tick = int((time.monotonic() - BEGAN) * FPS) + 1
        time.sleep(max(0.0, BEGAN + tick / FPS - time.monotonic()))
        number, milliseconds = FIRST + tick, int(time.time() * 1e3)
        picture = np.frombuffer(draw(number, milliseconds), np.uint8).reshape(HEIGHT, WIDTH)
        jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))[1].tobytes()
        os.write(log, f"{number} {milliseconds}\n".encode())
        length = b"" if "nolength" in self.path else b"Content-Length: %d\r\n" % len(jpeg)
        part = b"--frame\r\nContent-Type: image/jpeg\r\n%s\r\n%s\r\n" % (length, jpeg)
        half = len(part) // 2 if IN_HALVES else len(part)
        self.wfile.write(part[:half])
        if part[half:]:
            time.sleep(0.5 / FPS)
            self.wfile.write(part[half:])


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Client)
server.daemon_threads = True
sys.stdout.write(f"ready {time.time()}\n")
sys.stdout.flush()
server.serve_forever()
