"""The operators: one definition each for host and device, with a NumPy front."""

from edgead.kernels.ciede2000 import (
    ciede2000,
    ciede2000_into,
    ciede2000_planar,
    ciede2000_planar_into,
    ciede2000_recolored,
    ciede2000_recolored_into,
)
from edgead.kernels.resize import resize, resize_into

__all__ = [
    "ciede2000",
    "ciede2000_into",
    "ciede2000_planar",
    "ciede2000_planar_into",
    "ciede2000_recolored",
    "ciede2000_recolored_into",
    "resize",
    "resize_into",
]
