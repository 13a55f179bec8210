"""A zip file with uncompressed members: written with the same bytes every time, read with suspicion.

Bundles and engine cache entries are such archives. Members are stored, not compressed, so that no member can be larger
in memory than the file is on disk.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from edgead.atomic import write_atomic
from edgead.errors import BundleError

MAX_MEMBERS = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's earliest time: the same content gives the same bytes
_REBUILD = "get the file again from where it was made"


def write_archive(path: Path, members: Mapping[str, bytes]) -> None:
    """Write `members` in the order given, atomically."""
    write_atomic(path, archive_bytes(members))


def archive_bytes(members: Mapping[str, bytes]) -> bytes:
    """The archive of `members` in the order given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def read_archive(path: Path, only: str | None = None) -> dict[str, bytes]:
    """All members by name, or that of one name.

    Raises BundleError, naming the file or the member and the reason, for a missing, truncated or altered file, a member
    that is compressed, encrypted, named twice or named like a path.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries)
            return {e.filename: archive.read(e) for e in entries if only in (None, e.filename)}
    except FileNotFoundError as error:
        raise BundleError("no such file", path, "check the path") from error
    except IsADirectoryError as error:
        raise BundleError("this is a folder, not a file", path, "give the path of the file itself") from error
    except OSError as error:
        raise BundleError(f"cannot be read ({error.strerror})", path, "check its permissions") from error
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise BundleError(f"damaged or not an edgead file ({error})", path, _REBUILD) from error


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len(names) > MAX_MEMBERS:
        raise BundleError(f"has {len(names)} members, at most {MAX_MEMBERS} are read", path, _REBUILD)
    size = path.stat().st_size
    for entry in entries:
        where = f"{path}:{entry.filename!r}"
        if not _NAME.match(entry.filename):
            raise BundleError("a member has an unsafe name", where, _REBUILD)
        if names.count(entry.filename) > 1:
            raise BundleError("a member is there twice", where, _REBUILD)
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 0x1:
            raise BundleError("a member is compressed or encrypted", where, _REBUILD)
        if entry.file_size != entry.compress_size or entry.file_size > size:
            raise BundleError("a member's size is false", where, _REBUILD)
    if sum(entry.file_size for entry in entries) > size:
        raise BundleError("members overlap", path, _REBUILD)
