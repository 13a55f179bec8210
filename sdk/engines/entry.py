"""Files of the cache folder: one content under a key, both checked by what is recorded with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgead.archive import archive_bytes, read_archive
from edgead.errors import BundleError, EngineError

_KEY = "key.json"


def entry_bytes(key: Mapping[str, Any], name: str, content: bytes) -> bytes:
    """The file that holds `content`, as the member `name`, under a key that JSON can say."""
    header = {"key": key, "sha256": hashlib.sha256(content).hexdigest()}
    return archive_bytes({_KEY: json.dumps(header, sort_keys=True).encode(), name: content})


def read_entry(path: Path, key: Mapping[str, Any], name: str, foreign: str) -> bytes:
    """The content of a file. Raises ValueError, saying `foreign` where the key is another one, or what is damaged."""
    try:
        members = read_archive(path)
        recorded, content = json.loads(members[_KEY]), members[name]
        if recorded["key"] != key:
            raise ValueError(foreign)
        if recorded["sha256"] != hashlib.sha256(content).hexdigest():
            raise ValueError("its digest differs")
    except (BundleError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    return content


def read_key(path: Path) -> Any:
    """The key alone. Raises ValueError where the file is damaged."""
    try:
        return json.loads(read_archive(path, _KEY)[_KEY])["key"]
    except (BundleError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Writing into the cache folder: what the disk says against it leaves as EngineError."""
    try:
        yield
    except OSError as error:
        todo = "free some space, fix its permissions, or set EDGEAD_CACHE to another folder"
        raise EngineError(f"the engine cache cannot be written ({error.strerror})", folder, todo) from error
