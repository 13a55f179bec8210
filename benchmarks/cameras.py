"""Several cameras in one process beside as many processes with one camera each: verdicts a second of all together.

Every camera has frames of the line ready in memory, so that what is measured is what edgead does with them: preparing,
inferring and judging, with nothing dropped. One process gathers what waits of all cameras in one call of the engine.
Both ways take turns, and each starts counting once all of its engines run.

python benchmarks/cameras.py part.edgead [--cameras 4] [--seconds 8] [--rounds 3] [--fps 25] [--output FILE]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from itertools import islice

import numpy as np
from measuring import arguments, processor, write

from edgead.frame import Frame, Image
from edgead.loading import load
from edgead.sources import Source
from edgead.streaming import Stream
from edgead.synthetic.line import frames

SIZE, DISTINCT = 640, 8


class Memory(Source):
    """Frames that are there already; with `fps`, at that pace, as a camera gives them."""

    def __init__(self, name: str, images: list[Image], fps: float = 0.0) -> None:
        super().__init__(name)
        self.live, self._images, self._period, self._due = fps > 0, images, 1 / fps if fps else 0.0, 0.0

    def open(self) -> None:
        self._due = time.monotonic()

    def read(self, timeout: float) -> Frame:
        self._due += self._period
        if self._period:
            time.sleep(max(0.0, self._due - time.monotonic()))
        return self._frame(self._images[self._next_id % len(self._images)])

    def close(self) -> None:
        pass


def watched(bundle: str, cameras: int, seconds: float, fps: float = 0.0) -> dict[str, float]:
    """Verdicts a second of so many cameras in this process; with `fps` also the milliseconds from capture to verdict
    and the frames that gave way to newer ones."""
    images = [image for image, _ in islice(frames(seed=1, size=SIZE), DISTINCT)]
    stop = threading.Event()
    with load(bundle, maps=False) as detector:
        detector(images[0])
        print("ready", flush=True)
        if cameras == 1 and not fps:
            sys.stdin.readline()  # all begin at once
        sources = [Memory(f"camera {number}", images, fps) for number in range(cameras)]
        timer = threading.Timer(seconds, stop.set)
        timer.start()
        begin, count, ages = time.monotonic(), 0, []
        with Stream(detector, sources, stop=stop) as run:
            for result in run:
                count += 1
                ages.append(result.timing["total"])
        taken = time.monotonic() - begin
        timer.cancel()
        return {"rate": count / taken, "p50": float(np.median(ages)), "p99": float(np.percentile(ages, 99)),
                "dropped": run.summary.dropped, "judged": count}  # fmt: skip


def apart(bundle: str, cameras: int, seconds: float) -> float:
    """Verdicts a second of all processes, one camera in each."""
    command = [sys.executable, __file__, bundle, "--alone", str(seconds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(cameras)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(json.loads(process.communicate()[0])["rate"] for process in running)


if __name__ == "__main__":
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("bundle")
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--alone", type=float)
    given = parser.parse_args()
    if given.alone:
        answer = watched(given.bundle, 1, given.alone)
        print(json.dumps(answer))
        sys.exit()
    together, separate = [], []
    for _ in range(given.rounds):
        together.append(watched(given.bundle, given.cameras, given.seconds)["rate"])
        separate.append(apart(given.bundle, given.cameras, given.seconds))
    ratio = statistics.median(a / b for a, b in zip(together, separate, strict=True))
    paced = watched(given.bundle, given.cameras, given.seconds, given.fps)
    figures = {"cameras": given.cameras, "together": together, "separate": separate, "ratio": ratio,
               "paced": {"fps": given.fps, **paced}}  # fmt: skip
    print(json.dumps(figures, indent=1))
    write(given.output, processor(), figures)
