"""Images as every graph sees them: read, and resized by the kernel that cameras use."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edgead.data.arrays import read_array_image
from edgead.data.cifar import read_record
from edgead.data.images import read_bytes, read_image
from edgead.data.samples import Sample
from edgead.kernels import resize
from edgead.progress import Progress, silent


def read_sample(sample: Sample) -> NDArray[np.uint8]:
    """The pixels of a sample as they are stored, uint8 [H, W, 3], RGB. Raises DataError where they cannot be read."""
    if sample.index is None:
        return read_image(sample.path)
    read = read_array_image if sample.path.suffix.lower() == ".npz" else read_record
    return read(sample.path, sample.index)


def image_bytes(sample: Sample) -> bytes:
    """The bytes by which an image is known again: those of its file, or its RGB pixels where a file holds many.

    Raises DataError as `read_sample` does.
    """
    return read_bytes(sample.path) if sample.index is None else read_sample(sample).tobytes()


def load_images(samples: Sequence[Sample], height: int, width: int, progress: Progress = silent) -> NDArray[np.uint8]:
    """uint8 [N, height, width, 3] RGB. Raises DataError naming the first image that cannot be read."""
    images = np.empty((len(samples), height, width, 3), np.uint8)
    with ThreadPoolExecutor() as pool:  # decoding and resizing release the interpreter lock
        for index, image in enumerate(pool.map(lambda sample: resize(read_sample(sample), height, width), samples)):
            images[index] = image
            progress("reading images", index + 1, len(samples))
    return images
