"""Whether a JPEG file is whole: the decoders fill the missing part of a truncated one with gray, and say nothing."""

from __future__ import annotations

import re

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # not a stuffed byte, a restart or a fill byte
_START, _END, _TEMPORARY = 0xD8, 0xD9, 0x01


def is_jpeg(content: bytes) -> bool:
    """Whether the bytes begin as a JPEG file does."""
    return content.startswith(b"\xff\xd8\xff")


def is_whole(content: bytes) -> bool:
    """Whether the image in a JPEG file reaches its end marker.

    Segments are skipped by their length, so that the end of an embedded thumbnail does not count.
    """
    place = 2
    while (found := _MARKER.search(content, place)) is not None:
        marker, place = content[found.start() + 1], found.end()
        if marker == _END:
            return True
        if marker not in (_START, _TEMPORARY):
            place += int.from_bytes(content[place : place + 2], "big")
    return False
