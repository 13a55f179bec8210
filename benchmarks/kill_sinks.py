"""kill -9 at random moments: what is missing then, and what is missing after the next run.

    python benchmarks/kill_sinks.py --kills 50

A process writes verdicts, rejects with their pictures among them, into a database and says each that it has handed
over. It is killed; the database has to open, its chain has to hold, and what is not in it has to be in the spool. The
next run takes over from there, and is killed as well. At the end every verdict that was ever handed over has to be in
the database exactly once. Exit code 1 where any of this does not hold.

Without a spool (`--strict`), at most the batch that was not committed may be missing, for good.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from edgead.frame import Frame
from edgead.result import Region, Result, Verdict
from edgead.sinks import open_sink
from edgead.sinks.audit import audit
from edgead.sinks.spooled import spool_of
from edgead.sinks.sqlite import BATCH, SqliteSink


def write(path: Path, first: int, strict: bool) -> None:
    """Hand over verdicts from number `first` on, for ever, and say each."""
    nothing = np.zeros((2, 2), np.float32)
    image = np.zeros((64, 64, 3), np.uint8)
    with SqliteSink(path) if strict else open_sink(path) as sink:
        for number in itertools.count(first):
            bad = number % 25 == 0
            regions = (Region((1, 2, 3, 4), 12, 1.5),) if bad else ()
            verdict = Verdict.REJECT if bad else Verdict.ACCEPT
            now = time.time()
            sink.write(
                Result(0.3, bad, nothing, nothing > 0, 0.6, verdict, regions, number, "line", now),
                Frame(image, number, "line", now),
            )
            print(number, flush=True)


def column(path: Path, name: str) -> list[str | int]:
    """One field of every verdict, in the order of the chain."""
    statement = f"SELECT json_extract(record, '$.{name}') FROM records WHERE json_extract(record, '$.kind') = 'verdict'"
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute(f"{statement} ORDER BY id")]


def spooled(path: Path) -> list[int]:
    """The frames that wait in the spool."""
    lines = [line for file in spool_of(path).glob("*/*.jsonl") for line in file.read_bytes().splitlines()]
    return [json.loads(line)["frame_id"] for line in lines]


def kill_once(path: Path, first: int, after: float, *options: str) -> int:
    """Start a writer, kill it after so many seconds from its first verdict; the first number that it did not say."""
    command = [sys.executable, __file__, "--write", str(path), "--first", str(first), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline()]
        time.sleep(after)
        writer.kill()
        told += writer.stdout.read().splitlines(keepends=True)
    whole = [int(line) for line in told if line.endswith("\n")]
    return whole[-1] + 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=0.6, help="seconds until a kill, at most")
    parser.add_argument("--strict", action="store_true", help="the database alone, without its spool")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write, arguments.first, arguments.strict)
        return 0
    generator = random.Random(arguments.seed)
    outside: list[int] = []  # not in the database, after each kill
    missing: list[int] = []  # and not in the spool
    faults, said = [], 0
    options = ["--strict"] if arguments.strict else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.sqlite"
        for number in range(arguments.kills):
            before = said
            said = kill_once(path, said, generator.uniform(0, arguments.longest), *options)
            found = audit(path)
            if found.broken:
                faults.append(f"kill {number}: {found.broken}")
            uncommitted = set(range(before, said)) - set(column(path, "frame_id"))
            outside.append(len(uncommitted))
            missing.append(len(uncommitted - set(spooled(path))))
        write_last = [sys.executable, "-c", f"from edgead.sinks import open_sink\nwith open_sink({str(path)!r}): pass"]
        subprocess.run(write_last, check=True)
        left = sorted(entry.name for entry in path.parent.iterdir())
        ids = column(path, "id")
        after = len(set(range(said)) - set(column(path, "frame_id")))
        found = audit(path)
    twice = len(ids) - len(set(ids))
    if found.broken:
        faults.append(f"at the end: {found.broken}")
    lost = sum(missing) if arguments.strict else 0
    if (
        after != lost
        or twice
        or max(missing) > (BATCH if arguments.strict else 0)
        or any("spool" in name for name in left)
    ):
        faults.append(f"{after} verdicts are lost, {twice} doubled, {max(missing)} were missing at most, left: {left}")
    figures = {
        "kills": arguments.kills,
        "verdicts": said,
        "batch": BATCH,
        "outside_the_database_at_most": max(outside),
        "outside_the_database_on_average": round(sum(outside) / len(outside), 1),
        "missing_at_most": max(missing),
        "missing_at_the_end": after,
        "doubled": twice,
        "pictures": found.images,
        "faults": faults,
    }
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
