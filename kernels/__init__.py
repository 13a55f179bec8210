"""The operators: one definition each for host and device, with a NumPy front."""

from edgead.kernels.resize import resize, resize_into

__all__ = ["resize", "resize_into"]
