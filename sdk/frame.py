"""What a source delivers: a frame, the news that one was lost, or a signal."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """One picture of the line.

    image: uint8 [H, W, 3] in BGR order (OpenCV's), or [H, W] gray. frame_id: counts up from 0 within a source, lost
    frames included. source: the name for records, credentials removed. captured_at: seconds since 1970-01-01 UTC.
    """

    image: Image
    frame_id: int
    source: str
    captured_at: float


@dataclass(frozen=True)
class LostFrame:
    """A frame that should have come and could not be read. It is counted and recorded, and never judged."""

    frame_id: int
    source: str
    captured_at: float
    reason: str


class Signal(enum.Enum):
    """What a source says instead of a frame."""

    TIMEOUT = "timeout"  # nothing came in the time given; asking again is right
    END = "end"  # the source is exhausted; nothing will come


Reading = Frame | LostFrame | Signal
