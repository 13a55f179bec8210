"""The operators: one definition each for host and device, with a NumPy front."""

from edgead.kernels.ciede2000 import (
    ciede2000,
    ciede2000_into,
    ciede2000_planar,
    ciede2000_planar_into,
    ciede2000_recolored,
    ciede2000_recolored_into,
)
from edgead.kernels.neighbor_masked_attention import (
    Attention,
    attend,
    neighbor_masked_attention,
    neighbor_masked_attention_into,
)
from edgead.kernels.postprocess import find_regions, overlay, overlay_into
from edgead.kernels.preprocess import preprocess, preprocess_into
from edgead.kernels.resize import resize, resize_into

__all__ = [
    "Attention",
    "attend",
    "ciede2000",
    "ciede2000_into",
    "ciede2000_planar",
    "ciede2000_planar_into",
    "ciede2000_recolored",
    "ciede2000_recolored_into",
    "find_regions",
    "neighbor_masked_attention",
    "neighbor_masked_attention_into",
    "overlay",
    "overlay_into",
    "preprocess",
    "preprocess_into",
    "resize",
    "resize_into",
]
