"""The part number, struck into the plate dot by dot."""

from __future__ import annotations

import numpy as np

from edgead.synthetic.surface import Map, Pose, dots

TEXT = "EDG 47-2"
LEFT, TOP = -0.105, 0.276  # where it begins on the part
PITCH, RADIUS = 0.0046, 0.0030  # of the dots
_LETTERS = {  # 5 x 7 dots, one number a row, as dot-peen markers strike them
    "E": (31, 16, 16, 30, 16, 16, 31),
    "D": (30, 17, 17, 17, 17, 17, 30),
    "G": (14, 17, 16, 23, 17, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "2": (14, 17, 1, 6, 8, 16, 31),
    "-": (0, 0, 0, 14, 0, 0, 0),
    " ": (0,) * 7,
}


def marking(side: int, pose: Pose) -> Map:
    """The dots, 0..1, float32 [side, side]."""
    points = [
        (LEFT + PITCH * (6 * place + column), TOP + PITCH * row)
        for place, letter in enumerate(TEXT)
        for row, bits in enumerate(_LETTERS[letter])
        for column in range(5)
        if bits >> (4 - column) & 1
    ]
    return dots(side, pose.pixels(points, side), np.full(len(points), RADIUS * side))
