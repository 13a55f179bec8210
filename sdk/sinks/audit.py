"""Whether the records of a database are those that were written: every link of the chain, checked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgead.errors import SinkError
from edgead.sinks.chain import HASH_BYTES, link
from edgead.sinks.images import image_folder
from edgead.sinks.schema import APPLICATION_ID, VERSION
from edgead.sinks.spool import count_waiting
from edgead.sinks.spooled import spool_of

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Break:
    """The first place where the records are not those that were written. record: its place in the chain, from 1, where
    it is one record. where: what the record calls itself."""

    what: str
    record: int | None = None
    where: str = ""

    def __str__(self) -> str:
        place = "" if self.record is None else f"record {self.record}{f' ({self.where})' if self.where else ''}: "
        return place + self.what


@dataclass
class Audit:
    """What an audit found.

    records: links that hold, from the first on. kinds: how many of each kind. head: the hash of the last one, in
    hexadecimal digits. runs: of each run its digits, the number of records and the head when it last committed.
    images: pictures whose digest is that of the record. retired: pictures that retention has removed, as the records
    say. waiting: records that are not in the database yet; the run that writes to it, or the next one, adds them.
    expected: the place of each head that was asked for. broken: the first break, None where all holds.
    """

    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    head: str = ""
    runs: list[tuple[str, int, str]] = field(default_factory=list)
    images: int = 0
    retired: int = 0
    waiting: int = 0
    expected: dict[str, int] = field(default_factory=dict)
    broken: Break | None = None

    def to_json(self) -> dict[str, Any]:
        """The audit ready for JSON."""
        broken = self.broken
        return {
            "whole": broken is None,
            "records": self.records,
            "kinds": dict(self.kinds),
            "head": self.head,
            "runs": [{"run": run, "records": count, "head": head} for run, count, head in self.runs],
            "images": self.images,
            "retired": self.retired,
            "waiting": self.waiting,
            "expected": self.expected,
            "broken": broken and {"what": broken.what, "record": broken.record, "where": broken.where},
        }


Found = Callable[[int, dict[str, Any], bytes], None]


def audit(path: str | Path, *, expect: Sequence[str] = (), images: bool = True, found: Found | None = None) -> Audit:
    """Check the records of a database, one after the other, in constant memory, also while a run writes to it.

    expect: heads that were written down, 64 hexadecimal digits each; everything up to a head that is found is what it
    was when that head was printed. images: check the pictures beside the database as well. found: called with place,
    record and hash of each record whose link holds.

    What was removed from the end shows where `heads` still tells of it, or by `expect`; the chain alone cannot show it.
    Raises SinkError where there is no database of results of this schema.
    """
    path = Path(path)
    wanted = [head.strip().lower() for head in expect]
    result = Audit()
    with closing(_open(path)) as database:
        try:
            database.execute("BEGIN")  # one state of the database, whatever is written meanwhile
            _check_schema(database, path)
            result.broken = _walk(database, result, set(wanted), path if images else None, found)
            result.broken = result.broken or _check_heads(database, result)
        except sqlite3.Error as error:
            result.broken = Break(f"the database cannot be read on: {error}", result.records + 1)
    with contextlib.suppress(OSError):
        result.waiting = count_waiting(spool_of(path))
    for head in wanted:
        if head not in result.expected and result.broken is None:
            result.broken = Break(f"no record has the expected hash {head}: it, or one before it, is not what it was")
    return result


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise SinkError("there is no such database", path, "give the .sqlite or .db file of edgead stream --save")
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    for options in ("", "&immutable=1"):  # a medium that cannot be written has no place for a log of readers
        database = sqlite3.connect(address + options, uri=True, isolation_level=None, timeout=5.0)
        database.text_factory = bytes  # as it is stored, whatever it is
        try:
            database.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            database.close()
            log = path.with_name(path.name + "-wal")
            if options or not isinstance(error, sqlite3.OperationalError) or (log.exists() and log.stat().st_size):
                raise SinkError(f"cannot open the database: {error}", path, "give a results database") from error
        else:
            break
    return database


def _check_schema(database: sqlite3.Connection, path: Path) -> None:
    mark, version = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if mark != APPLICATION_ID:
        raise SinkError("this database holds something else than results", path, "give a results database")
    if version != VERSION:
        what = f"the results database has schema {version}, this program audits {VERSION}"
        raise SinkError(what, path, "use the program that made it; schema 1 has no chain to check")


def _walk(
    database: sqlite3.Connection, result: Audit, wanted: set[str], path: Path | None, found: Found | None
) -> Break | None:
    """Follow the chain from the first record to the last or to the first break; with a path, check pictures."""
    rows = database.execute("SELECT hash FROM genesis").fetchall()
    if len(rows) != 1 or not isinstance(rows[0][0], bytes) or len(rows[0][0]) != HASH_BYTES:
        return Break("the genesis is not one row of 32 bytes")
    previous: bytes = rows[0][0]
    result.head = previous.hex()
    for place, text, digest in database.execute("SELECT id, record, hash FROM records ORDER BY id"):
        number = result.records + 1
        record = _parsed(text)
        where = _name(record)
        if place != number:
            return Break(f"the next record is number {place}, as if others had been removed or added", number)
        if record is None or not isinstance(digest, bytes) or link(previous, text) != digest:
            return Break("its text and the hash before it do not give its hash", number, where)
        broken = _check_image(database, record, path, result) if path and record.get("image") else None
        if broken:
            return Break(broken, number, where)
        previous = digest
        result.records, result.head = number, digest.hex()
        result.kinds[str(record.get("kind"))] += 1
        if result.head in wanted:
            result.expected[result.head] = number
        if found:
            found(number, record, digest)
    return None


def _check_heads(database: sqlite3.Connection, result: Audit) -> Break | None:
    """Compare the chain with what each run has noted of its end."""
    noted = 0
    for run, count, digest in database.execute("SELECT run, records, hash FROM heads ORDER BY records"):
        name = run.decode(errors="replace") if isinstance(run, bytes) else str(run)
        at = database.execute("SELECT hash FROM records WHERE id = ?", (count,)).fetchone()
        if at is None:
            return Break(f"the end is missing: run {name} noted {count} records, {result.records} are there")
        if at[0] != digest or not isinstance(digest, bytes):
            return Break(f"run {name} noted another hash than the record has", count)
        result.runs.append((name, count, digest.hex()))
        noted = max(noted, count)
    if noted != result.records:
        return Break(f"{noted} records are noted by the runs, {result.records} are there", noted + 1)
    return None


def _check_image(database: sqlite3.Connection, record: dict[str, Any], path: Path, result: Audit) -> str | None:
    """What is wrong with the picture that a record names."""
    image = record["image"]
    if record.get("kind") != "verdict" or not isinstance(image, dict) or "file" not in image:
        return None
    name = str(image["file"])
    try:
        with (image_folder(path) / Path(name).name).open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
    except FileNotFoundError:
        captured_at = str(record.get("captured_at"))
        if not (_was_removed(database, name, captured_at) or _was_removed_since(path, name, captured_at)):
            return f"its picture {name} is missing, and no record says that retention removed it"
        result.retired += 1
        return None
    except OSError as error:
        return f"its picture {name} cannot be read: {error.strerror}"
    result.images += 1
    return None if digest.hexdigest() == image.get("sha256") else f"its picture {name} was altered"


def _was_removed(database: sqlite3.Connection, name: str, captured_at: str) -> bool:
    rows = database.execute(
        "SELECT record FROM records WHERE json_extract(record, '$.kind') = 'removed' "
        "AND json_extract(record, '$.captured_at') = ?",
        (captured_at,),
    )
    return any((_parsed(text) or {}).get("image") == name for (text,) in rows)


def _was_removed_since(path: Path, name: str, captured_at: str) -> bool:
    """Whether a run has said so after the audit began, in a record that it does not reach."""
    with closing(_open(path)) as database:
        return _was_removed(database, name, captured_at)


def _parsed(text: object) -> dict[str, Any] | None:
    try:
        record = json.loads(text) if isinstance(text, bytes) else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _name(record: dict[str, Any] | None) -> str:
    if record is None:
        return "unreadable"
    if "frame_id" in record:
        return f"frame {record['frame_id']} of {record.get('source')} at {record.get('captured_at')}"
    return f"{record.get('kind')} of run {record.get('run')}" if "run" in record else str(record.get("kind"))
