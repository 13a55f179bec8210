"""Results in an SQLite database, every record chained to the one before."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead import __version__
from edgead.errors import SinkError
from edgead.frame import Frame
from edgead.result import Result
from edgead.sinks.chain import link, new_genesis
from edgead.sinks.images import Kept, PictureFolder, Pictures, image_folder
from edgead.sinks.records import RecordSink, canonical, moment
from edgead.sinks.schema import APPLICATION_ID, SCHEMA, VERSION

BATCH = 100
COMMIT_SECONDS = 1.0
BUSY_SECONDS = 5.0


@dataclass
class _Head:
    """Where a run stands. number: of its last record. records, hash: of the chain, when that was added."""

    number: int
    records: int
    hash: bytes


class SqliteSink(RecordSink):
    """The default record of a line. Table `records` holds each one as JSON text with the hash that ties it to the one
    before; the views `verdicts`, `regions`, `faults` and `runs` show them as columns, times in ISO 8601, UTC.

    hash = SHA-256(the hash before || the text), the text as `canonical` writes it: verdict, scores, regions, timing,
    source, time, bundle, id, and the digest of a picture that is kept. The first hash follows the 32 random bytes in
    `genesis`. Besides verdicts and faults, a run has a record `begin` and, unless it was cut off, `end`. `heads` says
    of each run how many records the chain had, and their last hash, when the run last committed.

    `edgead audit` so finds a record that was altered, removed, added or moved. Against somebody who may write the
    file and knows how, it proves no more than the heads that were written down elsewhere: the end of a chain can be
    cut off and `heads` corrected, or all of it computed anew.

    pictures: which frames are kept as files in `<name>.images`, None for none. Their records hold the file's name and
    SHA-256. One that retention removes gets a record `removed` before its file goes.

    Written ahead (WAL): others read while a run writes. Records are committed together, at most every `batch` or
    every second: that is what a power cut or a killed process costs at most. An existing database of this schema is
    continued. A record that comes twice is kept once. Where the file is removed, moved or replaced meanwhile, nothing
    more is committed to it; behind a spool, what comes then goes to the file that has the name, or to a new one.
    """

    def __init__(self, path: str | Path, *, batch: int = BATCH, pictures: Pictures | None = None) -> None:
        super().__init__(path)
        self._batch = batch
        self._pictures = PictureFolder(image_folder(self.path), pictures) if pictures else None
        self._removing: list[tuple[Kept, str]] = []
        self._database: sqlite3.Connection | None = None
        self._opened: os.stat_result | None = None
        self._began = False
        self._waiting = 0
        self._committed = 0.0
        self._last = (0, b"")  # the number of records and the last hash; known inside a transaction
        self._heads: dict[str, _Head] = {}  # of the runs in the batch

    @property
    def trouble(self) -> str:
        return self._pictures.trouble if self._pictures else ""

    def open(self) -> None:
        """Open or make the database and begin a run."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare(self._database)
            self._opened = self.path.stat()
            if self._pictures:
                self._pictures.open(self.run)
        except OSError as error:
            raise self._failed(f"cannot make or read its folder: {error.strerror}") from error
        except sqlite3.Error as error:
            raise self._failed(f"cannot open the results database: {error}") from error
        self._note("begin", version=__version__)
        self.flush()
        self._committed = 0.0  # the first record of a run is committed at once

    def of_result(self, result: Result, frame: Frame) -> bytes:
        """The record of a verdict, with what is said of its picture."""
        image = self._pictures and self._pictures.keep(result, frame, self.next_id(), behind=lambda: self.behind)
        return self._numbered("verdict", {**result.record(), **({"image": image} if image else {})})

    def keep(self, record: bytes) -> bool:
        """Add one record to the batch."""
        run, _, number = str(json.loads(record)["id"]).rpartition("-")
        with self._adding() as database:
            head = self._head(database, run)
            if int(number) > head.number:
                self._append(database, record)
                self._heads[run] = _Head(int(number), *self._last)
        return not self._waiting

    def flush(self) -> None:
        """Commit the batch."""
        if self._database is None or not self._waiting:
            return
        if not self._is_there():
            self._leave(self._database)
            raise self._given_up("its file was removed, moved or replaced")
        try:
            self._retire(self._database)
            self._database.executemany(
                "INSERT INTO heads (run, number, records, hash) VALUES (?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET "
                "number = excluded.number, records = excluded.records, hash = excluded.hash",
                [(run, head.number, head.records, head.hash) for run, head in self._heads.items()],
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._given_up(error) from error
        self._heads.clear()
        self._waiting, self._committed = 0, time.monotonic()
        if self._pictures and self._removing:
            self._pictures.remove(self._removing)
            self._removing = []

    def close(self) -> None:
        """Commit the batch, note the end of the run, and let the database go."""
        if self._database is None:
            return
        try:
            if self._began:
                self._note("end")
            self.flush()
        finally:
            if self._database is not None:
                self._database.close()
            self._database = None

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the tables in a new database; refuse one that is not ours, or of another schema."""
        mark, version = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        fresh = mark == 0 and not database.execute("SELECT 1 FROM sqlite_master").fetchone()
        if not fresh and mark != APPLICATION_ID:
            raise self._failed("this database holds something else than results", "give another name")
        if not fresh and version != VERSION:
            what = f"the results database has schema {version}, this program writes {VERSION}"
            raise self._failed(what, "give another name, or use the program that made it")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        if fresh:
            database.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} INSERT INTO genesis VALUES (x'{new_genesis().hex()}');"  # noqa: S608
                f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
            )

    def _note(self, kind: str, **more: str) -> None:
        """Add a record of the run itself: it begins, once however often the database is opened, or it ends."""
        with self._adding() as database:
            head = self._head(database, self.run)
            if kind == "begin" and head.records:
                self._began = True
                return
            record: dict[str, Any] = {"kind": kind, "run": self.run, "at": moment(time.time()), **more}
            self._append(database, canonical(record))
            self._heads[self.run] = _Head(head.number, *self._last)
            self._began = kind == "begin"

    def _retire(self, database: sqlite3.Connection) -> None:
        """Add a record for each picture that is beyond the limits; the files go when that is committed."""
        self._removing = self._pictures.due() if self._pictures else []
        for kept, reason in self._removing:
            told = {"kind": "removed", "captured_at": kept.at, "image": kept.name, "reason": reason}
            self._append(database, canonical({**told, "run": self.run, "at": moment(time.time())}))
        if self._removing:
            self._heads[self.run] = _Head(self._head(database, self.run).number, *self._last)

    def _append(self, database: sqlite3.Connection, record: bytes) -> None:
        count, previous = self._last
        self._last = (count + 1, link(previous, record))
        database.execute("INSERT INTO records VALUES (?, ?, ?)", (count + 1, record.decode(), self._last[1]))

    def _head(self, database: sqlite3.Connection, run: str) -> _Head:
        """Where a run stands; nowhere, if it is new."""
        if run not in self._heads:
            found = database.execute("SELECT number, records, hash FROM heads WHERE run = ?", (run,)).fetchone()
            self._heads[run] = _Head(*found) if found else _Head(0, 0, b"")
        return self._heads[run]

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
                newest = database.execute("SELECT id, hash FROM records ORDER BY id DESC LIMIT 1").fetchone()
                self._last = newest or (0, database.execute("SELECT hash FROM genesis").fetchone()[0])
            yield database
        except (sqlite3.Error, OverflowError) as error:
            raise self._given_up(error) from error
        if self._waiting >= self._batch or time.monotonic() - self._committed >= COMMIT_SECONDS:
            self.flush()

    def _is_there(self) -> bool:
        """Whether the file that is written still has its name: SQLite itself writes on to one that nobody finds."""
        try:
            return self._opened is not None and os.path.samestat(self.path.stat(), self._opened)
        except OSError:
            return False

    def _leave(self, database: sqlite3.Connection) -> None:
        """Bring what was committed into a file that was moved: its log keeps the old name."""
        with contextlib.suppress(sqlite3.Error):
            database.rollback()
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _given_up(self, error: Exception | str) -> SinkError:
        """Take the batch back, so that no record stays half-written, and say which. Behind a spool they come again."""
        cost, self._waiting = self._waiting, 0
        self._heads.clear()
        if self._pictures:
            self._pictures.put_back(self._removing)
            self._removing = []
        database, self._database = self._database, None
        if database is not None:
            database.close()  # rolls back
        what = f"cannot write, the last {cost} records are not in the database: {error}"
        return self._failed(what, "free space or correct the permissions; what was committed before is kept")
