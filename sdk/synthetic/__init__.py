"""Rendered photographs of a machined part, good and defective: for the demo, and for a line without a camera.

Everything is drawn from a seed: the same seed gives the same pixels.
"""

from edgead.synthetic.dataset import write_dataset
from edgead.synthetic.defects import DEFECTS
from edgead.synthetic.line import frames, write_video
from edgead.synthetic.photograph import photo

__all__ = ["DEFECTS", "frames", "photo", "write_dataset", "write_video"]
