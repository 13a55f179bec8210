"""Pictures that say which one they are and when they were drawn, so that none can be taken for another.

Plain Python draws them, as the RTSP camera runs in the system's own, which has no NumPy.
"""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT, BLOCK = 320, 240, 16
BITS = {"number": 24, "milliseconds": 44, "check": 12}  # four lines of blocks
ACROSS = WIDTH // BLOCK
LINES = HEIGHT // BLOCK - sum(BITS.values()) // ACROSS  # of texture
STEP = 4  # pixels that the texture moves from one picture to the next
LONGEST_ERROR = 40.0  # gray levels that a codec may be off, as the mean of a block

_GRAY = random.Random(7)
_TEXTURE = [
    b"".join(bytes([_GRAY.randrange(40, 216)]) * BLOCK for _ in range(3 * ACROSS)) * 2 for _ in range(LINES)
]  # each line twice, so that a window over it may start anywhere


def draw(number: int, milliseconds: int) -> bytes:
    """Picture `number`, drawn at `milliseconds` since 1970: HEIGHT lines of WIDTH gray levels."""
    begin = number * STEP % (3 * WIDTH)
    texture = b"".join(line[begin : begin + WIDTH] * BLOCK for line in _TEXTURE)
    bits = format(_code(number, milliseconds), f"0{sum(BITS.values())}b")
    rows = [bits[at : at + ACROSS] for at in range(0, len(bits), ACROSS)]
    return texture + b"".join(b"".join((b"\x10", b"\xeb")[bit == "1"] * BLOCK for bit in row) * BLOCK for row in rows)


def recognise(image: np.ndarray) -> tuple[int, int] | None:
    """Number and milliseconds of a picture [H, W] or [H, W, 3]; None where it is not exactly one that was drawn."""
    import numpy as np

    gray = (image if image.ndim == 2 else image[..., 1]).astype(np.float32)
    if gray.shape != (HEIGHT, WIDTH):
        return None
    blocks = gray.reshape(HEIGHT // BLOCK, BLOCK, ACROSS, BLOCK).mean(axis=(1, 3))
    code = int("".join("01"[int(level > 127)] for level in blocks[LINES:].ravel()), 2)
    milliseconds = code >> BITS["check"] & (1 << BITS["milliseconds"]) - 1
    number = code >> BITS["check"] + BITS["milliseconds"]
    if code != _code(number, milliseconds):
        return None
    expected = np.frombuffer(draw(number, milliseconds), np.uint8).reshape(HEIGHT, WIDTH)
    error = np.abs(gray - expected).reshape(HEIGHT // BLOCK, BLOCK, ACROSS, BLOCK).mean(axis=(1, 3))
    return (number, milliseconds) if error.max() < LONGEST_ERROR else None


def _code(number: int, milliseconds: int) -> int:
    told = number << BITS["milliseconds"] | milliseconds
    check = zlib.crc32(told.to_bytes(16, "big")) & (1 << BITS["check"]) - 1
    return told << BITS["check"] | check
