"""A line at full speed, with something going wrong at every seam: is every verdict on record once, and in order?

Frames go through a real detector under `every` into a database and to a server that receives them. Meanwhile frames
are corrupt, the camera fails, the disk is slow and full, the server is down and comes back, a callback raises, and the
clock jumps. A run that a fault ends is started again, as a service would. At the end the database has to hold exactly
the verdicts that were given, each once and in the order of its run, its chain has to verify, and the server has to have
all of them too. Memory and file descriptors are read every `--step` frames. Exit code 1 where any of this fails.

The full disk is a file system in memory of the script's own, for which it has to be root; without, that fault is left
out and the figures say so.

python benchmarks/soak.py part.edgead [--frames 200000] [--output FILE]
"""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

from measuring import arguments, processor, write

from edgead.errors import EdgeadError, SourceError
from edgead.frame import Image, LostFrame, Reading, Signal
from edgead.loading import load
from edgead.sinks import Sink, open_sink
from edgead.sinks.audit import audit
from edgead.sources import Source
from edgead.streaming import Stream
from edgead.synthetic.line import frames

SIZE, DISTINCT, SEED = 96, 32, 1
DISK = 1 << 30
REAL_TIME = time.time


class CallbackError(Exception):
    """What the caller's own code raises."""


class Line(Source):
    """Frames from memory until `left` is used up; some are corrupt, and now and then the camera fails for good."""

    def __init__(self, images: list[Image], left: list[int], faults: random.Random, seen: Counter[str]) -> None:
        super().__init__("line")
        self._images, self._left, self._faults, self._seen = images, left, faults, seen

    def open(self) -> None:
        pass

    def read(self, timeout: float) -> Reading:
        if not self._left[0]:
            return Signal.END
        self._left[0] -= 1
        if self._faults.random() < 1 / 500:
            self._seen["corrupt frame"] += 1
            return self._lost("the frame cannot be decoded")
        if self._faults.random() < 1 / 20_000:
            self._seen["source error"] += 1
            raise SourceError("the camera failed", self.name)
        return self._frame(self._images[self._next_id % len(self._images)])

    def close(self) -> None:
        pass


class SlowDisk(Sink):
    """A sink of the caller's own on a disk that takes its time once in a while."""

    def __init__(self, faults: random.Random, seen: Counter[str]) -> None:
        super().__init__("slow disk")
        self._faults, self._seen = faults, seen

    def open(self) -> None:
        pass

    def write(self, *_: object) -> None:
        if self._faults.random() < 1 / 5_000:
            self._seen["slow disk"] += 1
            time.sleep(0.2)

    def lost(self, lost: LostFrame) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class Receiver:
    """A server for records, which goes away, comes back, and sometimes says that it is busy."""

    def __init__(self, faults: random.Random, seen: Counter[str]) -> None:
        self.kept: dict[str, None] = {}
        self._faults, self._seen = faults, seen
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                busy = receiver._faults.random() < 1 / 2_000
                if busy:
                    receiver._seen["server busy"] += 1
                else:
                    receiver.kept[json.loads(body)["id"]] = None
                self.send_response(503 if busy else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            self._seen["server down"] += 1


def mounted(folder: Path) -> bool:
    """A small disk of one's own at `folder`, where that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(disk: Path) -> None:
    """Take all that is left of it."""
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(1 << 16)):
            pass


def figures(count: int, begin: float) -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "frames": count,
        "seconds": round(time.monotonic() - begin, 1),
        "resident_mib": round(pages * resource.getpagesize() / 2**20, 1),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
    }


def soak(bundle: str, total: int, step: int, folder: Path) -> dict[str, Any]:
    faults, seen = random.Random(SEED), Counter[str]()
    images = [image for image, _ in islice(frames(seed=1, size=SIZE), DISTINCT)]
    disk = folder / "disk"
    disk.mkdir()
    small = mounted(disk)
    results = disk / "results.sqlite"
    os.environ["EDGEAD_SPOOL"] = str(folder / "spool")
    receiver, left = Receiver(random.Random(SEED + 1), seen), [total]
    given: list[tuple[int, int]] = []  # of each verdict, the run and the frame
    samples, causes, begin = [], Counter[str](), time.monotonic()
    jump, filled = [0.0], False
    time.time = lambda: REAL_TIME() + jump[0]
    runs = 0

    def on_fault(lost: LostFrame) -> None:
        if faults.random() < 1 / 40:
            seen["callback raises"] += 1
            raise CallbackError

    try:
        with load(bundle, maps=False) as detector:
            while left[0]:
                runs += 1
                sinks = [str(results), f"http://127.0.0.1:{receiver.port}/records", SlowDisk(faults, seen)]
                opened = [open_sink(sink, pictures=None) if isinstance(sink, str) else sink for sink in sinks]
                try:
                    line = Line(images, left, faults, seen)
                    with Stream(detector, line, policy="every", sinks=opened, on_fault=on_fault) as run:
                        for result in run:
                            given.append((runs, result.frame_id))
                            if len(given) % step == 0:
                                samples.append(figures(len(given), begin))
                                print(samples[-1], flush=True)
                            if faults.random() < 1 / 10_000:
                                jump[0] += faults.choice((-3600.0, 3600.0, 86400.0))
                                seen["clock jump"] += 1
                            if faults.random() < 1 / 15_000:
                                receiver.stop()
                                threading.Timer(2.0, receiver.start).start()
                            if small and not filled and len(given) > total // 3:
                                filled = True
                                fill(disk)
                                seen["full disk"] += 1
                except (EdgeadError, CallbackError) as error:
                    causes[type(error).__name__] += 1
                    (disk / "ballast").unlink(missing_ok=True)
        time.sleep(2.5)
        if receiver._server is None:
            receiver.start()
        # The next run delivers what is left in the spools.
        with load(bundle, maps=False) as detector:
            rest = Line(images, [1], random.Random(0), Counter())
            sinks = [str(results), f"http://127.0.0.1:{receiver.port}/records"]
            with Stream(detector, rest, policy="every", sinks=[open_sink(s, pictures=None) for s in sinks]) as run:
                runs += 1
                given += [(runs, result.frame_id) for result in run]
            end = time.monotonic() + 120
            while run.summary.spooled and time.monotonic() < end:
                time.sleep(0.1)
        return {
            **judged(results, given, receiver),
            "runs": runs, "faults": dict(seen), "ended_by": dict(causes), "samples": samples,
            "full_disk": "tried" if small else "left out: not root", "seconds": time.monotonic() - begin,
        }  # fmt: skip
    finally:
        time.time = REAL_TIME
        receiver.stop()
        if small:
            subprocess.run(["umount", str(disk)], check=False)


def judged(results: Path, given: list[tuple[int, int]], receiver: Receiver) -> dict[str, Any]:
    """What the database and the server hold, against what was given."""
    proof = audit(results)
    statement = """SELECT substr(json_extract(record, '$.id'), 1, 16), json_extract(record, '$.frame_id'),
        json_extract(record, '$.id') FROM records WHERE json_extract(record, '$.kind') = 'verdict' ORDER BY id"""
    with closing(sqlite3.connect(results)) as database:
        rows = database.execute(statement).fetchall()
    order = {run: number for number, run in enumerate(dict.fromkeys(run for run, _, _ in rows), 1)}
    runs = list(dict.fromkeys(run for run, _ in given))
    found = [(order[run], frame) for run, frame, _ in rows]
    expected = [(runs.index(run) + 1, frame) for run, frame in given]
    return {
        "verdicts": len(given),
        "records": len(rows),
        "in_order_once": found == expected,
        "missing": len(set(expected) - set(found)),
        "doubled": len(found) - len(set(found)),
        "chain": str(proof.broken or "whole"),
        "missing_at_server": sum(identity not in receiver.kept for _, _, identity in rows),
    }


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--step", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgead-soak-") as folder:
        found = soak(given.bundle, given.frames, given.step, Path(folder))
    print(json.dumps({key: value for key, value in found.items() if key != "samples"}, indent=1))
    write(given.output, processor(), found)
    sys.exit(0 if found["in_order_once"] and found["chain"] == "whole" and not found["missing_at_server"] else 1)
