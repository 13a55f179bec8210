"""edgead: from photos of good parts to a verdict on every camera frame."""

__version__ = "0.1.0"
