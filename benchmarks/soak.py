"""A line at full speed, with something going wrong at every seam: is every verdict on record once, and in order?

Frames go through a real detector under `every` into a database, to a server and to an MQTT broker. Meanwhile frames are
corrupt, the camera fails, a disk is slow, another is full, somebody locks the database, the server and the broker are
killed and come back, the caller's own code raises, and the clock jumps. A run that a fault ends is started again, as a
service would. At the end

- the verdicts and faults of every run have to be those of frame 0, 1, 2, ... up to the last one that was read, or to
  where a fault ended the run;
- the database has to hold exactly those, each once, in that order, and its chain has to verify;
- the server has to have all of them, and the broker to have acknowledged all of them.

Exit code 1 where any of this fails. Memory and descriptors are read every `--step` frames; what the script itself keeps
of each verdict goes to a file, and servers are processes of their own, so that they are those of the line.

A broker that is killed may lose what it has acknowledged and not yet saved. Therefore a relay before the broker notes
what it acknowledges, and a subscriber what it delivers: the figures say both. The full disk is a file system in memory
of the script's own, for which it has to be root, and the broker is `mosquitto`; what is not there is left out, and the
figures say so.

python benchmarks/soak.py part.edgead [--frames 200000] [--output FILE]
"""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from far_ends import MOSQUITTO, Arrivals, Broker, Server
from measuring import arguments, processor, write

from edgead.detector import Detector
from edgead.errors import EdgeadError, SourceError
from edgead.frame import Image, LostFrame, Reading, Signal
from edgead.loading import load
from edgead.sinks import Sink, open_sink
from edgead.sinks.audit import audit
from edgead.sinks.images import Pictures
from edgead.sources import Source
from edgead.streaming import Stream
from edgead.synthetic.line import frames

SIZE, DISTINCT = 96, 32
DISK = 1 << 30
PICTURES = Pictures(max_bytes=16 << 20)  # little, so that they come to be removed, too
RATES = {
    "corrupt frame": 1 / 500, "camera fails": 1 / 20_000, "callback raises": 1 / 40, "caller raises": 1 / 40_000,
    "slow disk": 1 / 5_000, "database locked": 1 / 25_000, "server killed": 1 / 15_000,
    "broker killed": 1 / 10_000, "clock jump": 1 / 10_000,
    "full disk": 1 / 40_000,
}  # fmt: skip
LOCKED_SECONDS = 7.0  # longer than a database waits
SETTLED = 10.0  # MiB in 100,000 frames, in the second half: less is level
REST_SECONDS = 900.0  # for what waits in the spools at the end
REAL_TIME = time.time
_TOLD = struct.Struct(">8sI?")  # run, frame, whether it was lost


class CallersError(Exception):
    """What the caller's own code raises."""


class Faults:
    """Draws faults at their rates, each by a generator of its own, and counts them; one without a rate never comes."""

    def __init__(self, rates: Mapping[str, float]) -> None:
        self.seen = Counter[str]()
        self._rates, self._generators = rates, {name: random.Random(name) for name in rates}

    def strike(self, name: str) -> bool:
        struck = name in self._rates and self._generators[name].random() < self._rates[name]
        self.seen[name] += struck
        return struck


class Line(Source):
    """Frames from memory until `left` is used up; some are corrupt, and now and then the camera fails for good."""

    def __init__(self, images: list[Image], left: list[int], faults: Faults) -> None:
        super().__init__("line")
        self._images, self._left, self._faults = images, left, faults

    @property
    def delivered(self) -> int:
        return self._next_id

    def open(self) -> None:
        pass

    def read(self, timeout: float) -> Reading:
        if not self._left[0]:
            return Signal.END
        if self._faults.strike("camera fails"):
            raise SourceError("the camera failed", self.name)
        self._left[0] -= 1
        if self._faults.strike("corrupt frame"):
            return self._lost("the frame cannot be decoded")
        return self._frame(self._images[self._next_id % len(self._images)])

    def close(self) -> None:
        pass


class SlowDisk(Sink):
    """A sink of the caller's own on a disk that takes its time once in a while."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("slow disk")
        self._faults = faults

    def open(self) -> None:
        pass

    def write(self, *_: object) -> None:
        if self._faults.strike("slow disk"):
            time.sleep(0.2)

    def lost(self, lost: LostFrame) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def mounted(folder: Path) -> bool:
    """A small disk of one's own at `folder`, where that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(disk: Path) -> None:
    """Take all that is left of it."""
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(1 << 16)):
            pass


def lock(database: Path) -> None:
    """Hold the database as a program would that writes to it and does not come to an end."""
    with closing(sqlite3.connect(database, isolation_level=None)) as held, suppress(sqlite3.Error):
        held.execute("BEGIN IMMEDIATE")
        time.sleep(LOCKED_SECONDS)


@dataclass
class Run:
    """One run: its digits in the records, the frames that it read, and what ended it."""

    digits: str
    delivered: int
    ended_by: str


class Soak:
    """All frames, in as many runs as it takes: what was told of each, in the file `told`, and how the process fared."""

    def __init__(self, bundle: str, folder: Path, *, small: bool) -> None:
        self.results, self.told = folder / "disk" / "results.sqlite", folder / "told"
        self.faults, self.runs, self.samples = Faults(RATES), list[Run](), list[dict[str, float]]()
        self.server, self.broker = Server(folder), Broker(folder) if MOSQUITTO else None
        self._images = [image for image, _ in islice(frames(seed=1, size=SIZE), DISTINCT)]
        self._bundle, self._small = bundle, small
        self._verdicts, self._jump, self._begin = 0, 0.0, time.monotonic()

    def through(self, total: int, step: int) -> None:
        left = [total]
        time.time = lambda: REAL_TIME() + self._jump
        with load(self._bundle, maps=False) as detector, self.told.open("wb") as file:
            while left[0]:
                self._run(detector, Line(self._images, left, self.faults), self.faults, file, step)
            for far in (self.server, self.broker):
                if far is not None:
                    far.end.back()
            self._run(detector, Line(self._images, [1], Faults({})), Faults({}), file, step, rest=True)

    def stop(self) -> None:
        time.time = REAL_TIME
        for far in (self.server, self.broker):
            if far is not None:
                far.stop()

    def _run(
        self, detector: Detector, line: Line, faults: Faults, file: BinaryIO, step: int, *, rest: bool = False
    ) -> None:
        """Frames until none are left or a fault ends the run. rest: wait for what is in the spools."""
        database = open_sink(self.results, pictures=PICTURES)
        addresses = [far.address for far in (self.server, self.broker) if far is not None]
        sinks = [database, *(open_sink(address) for address in addresses), SlowDisk(faults)]

        def tell(frame: int, *, lost: bool) -> None:
            file.write(_TOLD.pack(bytes.fromhex(database.run), frame, lost))

        def on_fault(lost: LostFrame) -> None:
            tell(lost.frame_id, lost=True)
            if faults.strike("callback raises"):
                raise CallersError

        ended_by = ""
        try:
            with Stream(detector, line, policy="every", sinks=sinks, on_fault=on_fault) as run:
                for result in run:
                    tell(result.frame_id, lost=False)
                    self._verdicts += 1
                    if self._verdicts % step == 0:
                        self._sample(run)
                    self._torment(faults)
                    if faults.strike("caller raises"):
                        raise CallersError
                end = time.monotonic() + REST_SECONDS
                while rest and run.summary.spooled and time.monotonic() < end:
                    time.sleep(0.1)
                if rest:
                    self._sample(run)
        except (EdgeadError, CallersError) as error:
            ended_by = type(error).__name__
            (self.results.parent / "ballast").unlink(missing_ok=True)
        self.runs.append(Run(database.run, line.delivered, ended_by))

    def _torment(self, faults: Faults) -> None:
        """What strikes from outside, between two verdicts."""
        if faults.strike("clock jump"):
            self._jump += random.choice((-3600.0, 3600.0, 86400.0))
        if faults.strike("server killed"):
            self.server.end.restart(random.uniform(0, 4))
        if self.broker and faults.strike("broker killed"):
            self.broker.end.restart(random.uniform(0, 4))
        if faults.strike("database locked"):
            threading.Thread(target=lock, args=(self.results,)).start()
        if self._small and faults.strike("full disk"):
            fill(self.results.parent)

    def _sample(self, run: Stream) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        opened = list[Path]()
        for handle in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # what lists them is among them, and gone
                opened.append(handle.readlink())
        self.samples.append({
            "frames": self._verdicts,
            "seconds": round(time.monotonic() - self._begin, 1),
            "resident_mib": round(pages * resource.getpagesize() / 2**20, 1),
            "descriptors": len(opened),
            "spools": sum(path.parent.suffix == ".spool" for path in opened),
            "threads": threading.active_count(),
            "spooled": run.summary.spooled,
        })  # fmt: skip
        print(self.samples[-1], flush=True)


def judged(soak: Soak) -> dict[str, Any]:
    """What was told, and what the database and the far ends hold of it."""
    told = [(run.hex(), frame, lost) for run, frame, lost in _TOLD.iter_unpack(soak.told.read_bytes())]
    statement = """SELECT json_extract(record, '$.id'), json_extract(record, '$.frame_id'),
        json_extract(record, '$.kind') = 'fault' FROM records
        WHERE json_extract(record, '$.kind') IN ('verdict', 'fault') ORDER BY id"""
    with closing(sqlite3.connect(soak.results)) as database:
        rows = database.execute(statement).fetchall()
    found = [(identity[:16], frame, bool(lost)) for identity, frame, lost in rows]
    frames_of = {run: [frame for _, frame, _ in group] for run, group in groupby(told, key=lambda one: one[0])}
    undone = {run.digits: run.delivered - len(frames_of.get(run.digits, [])) for run in soak.runs}
    cut = {run.digits for run in soak.runs if run.ended_by not in ("", "SourceError")}
    proof = audit(soak.results)
    return {
        "verdicts": sum(not lost for _, _, lost in told),
        "lost": sum(lost for _, _, lost in told),
        "let_go": sum(undone.values()),
        "let_go_at_most": max(undone.values()),
        "let_go_by_a_run_that_nothing_cut": sum(left for run, left in undone.items() if run not in cut),
        "runs_with_gaps": sum(ids != list(range(len(ids))) for ids in frames_of.values()),
        "records": len(found),
        "in_order_once": found == told,
        "missing": len(set(told) - set(found)),
        "doubled": len(found) - len(set(found)),
        "chain": str(proof.broken or "whole"),
        "pictures": proof.images,
        "pictures_removed": proof.retired,
        "at_the_server": arrived(soak.server.arrivals, [row[0] for row in rows]),
        **({} if soak.broker is None else {
            "acknowledged_by_the_broker": arrived(soak.broker.acknowledged, [row[0] for row in rows]),
            "delivered_by_the_broker": arrived(soak.broker.delivered, [row[0] for row in rows]),
        }),
        **levels(soak.samples),
    }  # fmt: skip


def arrived(arrivals: Path, ids: list[str]) -> dict[str, Any]:
    """What came to a place, against what is on record."""
    times = Arrivals.read(arrivals)
    return {
        "missing": sum(identity not in times for identity in ids),
        "unknown": len(times.keys() - set(ids)),
        "more_than_once": sum(count > 1 for count in times.values()),
        "in_order": list(times) == ids,
    }


def levels(samples: list[dict[str, float]]) -> dict[str, Any]:
    """How memory went in the second half, by least squares, and the most descriptors and threads of each half, but for
    the one descriptor that every spool has that waits; level is None where there are too few samples to say."""
    halves = samples[: len(samples) // 2], samples[len(samples) // 2 :]
    if len(samples) < 4:
        return {"level": None}
    resident = [one["resident_mib"] for one in halves[1]]
    slope = 1e5 * float(np.polyfit([one["frames"] for one in halves[1]], resident, 1)[0])
    descriptors = [max(one["descriptors"] - one["spools"] for one in half) for half in halves]
    threads = [max(one["threads"] for one in half) for half in halves]
    level = slope < SETTLED and all(second <= first + 2 for first, second in (descriptors, threads))
    return {
        "level": level if len(samples) >= 20 else None,
        "mib_in_100000_frames": round(slope, 1),
        "descriptors_at_most": descriptors,
        "threads_at_most": threads,
    }


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--step", type=int, default=5_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgead-soak-") as name:
        folder = Path(name)
        (folder / "disk").mkdir()
        os.environ["EDGEAD_SPOOL"] = str(folder / "spool")
        small = mounted(folder / "disk")
        soak = Soak(given.bundle, folder, small=small)
        try:
            soak.through(given.frames, given.step)
            seconds = soak.samples[-1]["seconds"]
            found = judged(soak)
        finally:
            soak.stop()
            if small:
                subprocess.run(["umount", str(folder / "disk")], check=False)
    figures = {
        "frames": given.frames, "seconds": seconds, **found, "faults": dict(soak.faults.seen), "runs": len(soak.runs),
        "ended_by": Counter(run.ended_by for run in soak.runs if run.ended_by),
        "left_out": [what for what, there in (("full disk: not root", small), ("MQTT: no mosquitto", MOSQUITTO))
                     if not there],
    }  # fmt: skip
    print(json.dumps(figures, indent=1))
    write(given.output, processor(), {**figures, "samples": soak.samples})
    everywhere = [
        at["missing"] for name, at in found.items() if name in ("at_the_server", "acknowledged_by_the_broker")
    ]
    once = found["in_order_once"] and not found["runs_with_gaps"] and not found["let_go_by_a_run_that_nothing_cut"]
    return 0 if once and found["chain"] == "whole" and not any(everywhere) and found["level"] is not False else 1


if __name__ == "__main__":
    sys.exit(main())
