"""Images as every graph sees them: read, and resized by the kernel that cameras use."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edgead.data.images import read_image
from edgead.data.layout import Sample
from edgead.kernels import resize
from edgead.progress import Progress, silent


def load_images(samples: Sequence[Sample], height: int, width: int, progress: Progress = silent) -> NDArray[np.uint8]:
    """uint8 [N, height, width, 3] RGB. Raises DataError naming the first image that cannot be read."""
    images = np.empty((len(samples), height, width, 3), np.uint8)
    with ThreadPoolExecutor() as pool:  # decoding and resizing release the interpreter lock
        for index, image in enumerate(pool.map(lambda sample: resize(read_image(sample.path), height, width), samples)):
            images[index] = image
            progress("reading images", index + 1, len(samples))
    return images
