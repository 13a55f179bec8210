"""The chain of hashes that ties every record to the one before it."""

from __future__ import annotations

import hashlib
import secrets

HASH_BYTES = 32


def new_genesis() -> bytes:
    """What the first record is tied to: 32 random bytes, so that no two databases have the same chain."""
    return secrets.token_bytes(HASH_BYTES)


def link(previous: bytes, record: bytes) -> bytes:
    """The hash of a record: SHA-256 of the 32 bytes of the hash before it, then the record's own bytes."""
    return hashlib.sha256(previous + record).digest()
