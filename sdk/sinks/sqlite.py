"""Results in an SQLite database."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgead import __version__
from edgead.errors import SinkError
from edgead.frame import Frame, LostFrame
from edgead.result import Result
from edgead.sinks.base import Sink

BATCH = 100
COMMIT_SECONDS = 1.0
SCHEMA_VERSION = 1
APPLICATION_ID = 0x65646164  # "edad": tells our files from other databases
_REMEMBERED = 1000  # names of sources; a folder has one per image

_SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, version TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL);
CREATE TABLE sources (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE bundles (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE verdicts (
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs, source_id INTEGER NOT NULL REFERENCES sources,
  bundle_id INTEGER NOT NULL REFERENCES bundles,
  frame_id INTEGER NOT NULL, captured_at REAL NOT NULL, verdict TEXT NOT NULL, pred_score REAL NOT NULL,
  pred_label INTEGER NOT NULL, raw_score REAL NOT NULL, timing TEXT NOT NULL
);
CREATE TABLE regions (
  verdict_id INTEGER NOT NULL REFERENCES verdicts,
  x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  area INTEGER NOT NULL, peak REAL NOT NULL
);
CREATE TABLE faults (
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs, source_id INTEGER NOT NULL REFERENCES sources,
  frame_id INTEGER NOT NULL, captured_at REAL NOT NULL, reason TEXT NOT NULL
);
CREATE INDEX regions_of_verdict ON regions (verdict_id);
CREATE INDEX verdicts_by_time ON verdicts (captured_at);
CREATE VIEW results AS
  SELECT v.id, v.run_id, v.frame_id, s.name AS source, strftime('%Y-%m-%dT%H:%M:%fZ', v.captured_at, 'unixepoch') AS
  captured_at,
    v.verdict, v.pred_score, v.pred_label, v.raw_score, v.timing, b.name AS bundle
  FROM verdicts v JOIN sources s ON s.id = v.source_id JOIN bundles b ON b.id = v.bundle_id;
"""


class SqliteSink(Sink):
    """Tables `runs`, `verdicts`, `regions` and `faults`, and the view `results` for people; times are seconds since
    1970 UTC.

    Written ahead (WAL): others read while a run writes. Results are committed together, at most every `batch` or
    every second: that is what a power cut or a killed process costs at most. An existing database of this schema is
    continued, with a new row in `runs`; `ended_at` stays empty in a run that was cut off.
    """

    def __init__(self, path: str | Path, *, batch: int = BATCH) -> None:
        super().__init__(path)
        self._batch = batch
        self._database: sqlite3.Connection | None = None
        self._run = 0
        self._waiting = 0
        self._committed = 0.0
        self._names: dict[tuple[str, str], int] = {}

    def open(self) -> None:
        """Open or make the database and begin a run."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=5.0, isolation_level=None)
            self._prepare(self._database)
        except OSError as error:
            raise self._failed(f"cannot make its folder: {error.strerror}") from error
        except sqlite3.Error as error:
            raise self._failed(f"cannot open the results database: {error}") from error

    def write(self, result: Result, frame: Frame) -> None:
        """Add one verdict and its regions to the batch."""
        timing = json.dumps({stage: round(ms, 3) for stage, ms in result.timing.items()})
        scores = (result.pred_score, result.pred_label, result.raw_score)
        with self._adding() as database:
            ids = (self._run, self._id_of("sources", result.source), self._id_of("bundles", result.bundle))
            row = (*ids, result.frame_id, result.captured_at, result.verdict.value, *scores, timing)
            verdict = database.execute("INSERT INTO verdicts VALUES (NULL,?,?,?,?,?,?,?,?,?,?)", row).lastrowid
            regions = [(verdict, *region.box, region.area, region.peak) for region in result.regions]
            database.executemany("INSERT INTO regions VALUES (?,?,?,?,?,?,?)", regions)

    def lost(self, lost: LostFrame) -> None:
        """Add one fault to the batch."""
        with self._adding() as database:
            row = (self._run, self._id_of("sources", lost.source), lost.frame_id, lost.captured_at, lost.reason)
            database.execute("INSERT INTO faults VALUES (NULL,?,?,?,?,?)", row)

    def flush(self) -> None:
        """Commit the batch."""
        if self._database is None or not self._waiting:
            return
        try:
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._given_up(error) from error
        self._waiting, self._committed = 0, time.monotonic()

    def close(self) -> None:
        """Commit the batch, note the end of the run, and let the database go."""
        if self._database is None:
            return
        try:
            self.flush()
            if self._run:
                self._database.execute("UPDATE runs SET ended_at = ? WHERE id = ?", (time.time(), self._run))
        except sqlite3.Error as error:
            raise self._failed(f"cannot note the end of the run: {error}") from error
        finally:
            if self._database is not None:
                self._database.close()
            self._database = None

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the tables in a new database; refuse one that is not ours, or newer than this program."""
        mark, version = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        fresh = mark == 0 and not database.execute("SELECT 1 FROM sqlite_master").fetchone()
        if not fresh and mark != APPLICATION_ID:
            raise self._failed("this database holds something else than results", "give another name")
        if not fresh and version != SCHEMA_VERSION:
            what = f"the results database has schema {version}, this program writes {SCHEMA_VERSION}"
            raise self._failed(what, "give another name, or use the program that made it")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        if fresh:
            database.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        row = (__version__, time.time())
        self._run = database.execute("INSERT INTO runs (version, started_at) VALUES (?, ?)", row).lastrowid or 0

    @contextmanager
    def _adding(self) -> Iterator[sqlite3.Connection]:
        """Add one record to the batch, and commit when the batch is full or old enough."""
        database = self._database
        if database is None:
            raise self._failed("the results database is not open", "open the sink before writing to it")
        try:
            self._waiting += 1
            if not database.in_transaction:
                database.execute("BEGIN IMMEDIATE")
            yield database
        except (sqlite3.Error, OverflowError) as error:
            raise self._given_up(error) from error
        if self._waiting >= self._batch or time.monotonic() - self._committed >= COMMIT_SECONDS:
            self.flush()

    def _given_up(self, error: Exception) -> SinkError:
        """Take the batch back, so that no record stays half-written, and say what that cost."""
        cost, self._waiting = self._waiting, 0
        database, self._database = self._database, None
        if database is not None:
            database.close()  # rolls back
        return self._failed(f"cannot write, the last {cost} records are not kept: {error}")

    def _id_of(self, table: str, name: str) -> int:
        """The row of a source or bundle, made on its first use; the newest names are remembered."""
        if (table, name) not in self._names and self._database is not None:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            self._database.execute(f"INSERT OR IGNORE INTO {table} (name) VALUES (?)", (name,))  # noqa: S608
            found = self._database.execute(f"SELECT id FROM {table} WHERE name = ?", (name,)).fetchone()  # noqa: S608
            self._names[table, name] = found[0]
        return self._names[table, name]
