"""Image files and masks as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.data import jpeg
from edgead.errors import DataError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_REPLACE = "replace the file, or take it out of the folder"


@dataclass(frozen=True)
class LabelMask:
    """A mask painted in labels, 1 for the first kind of defect, 2 for the next: every value but 0 is defective."""

    path: Path


Mask: TypeAlias = Path | LabelMask
"""A mask's file, and how it is painted: in white on black, or in labels."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as uint8 [H, W, 3], RGB.

    Gray becomes three equal channels, 16 bits are scaled to 8, and an alpha channel is dropped. The pixels are those
    that the camera stored: an orientation noted in the file is not applied, as the frames of a live camera carry none,
    and a camera that looks straight down notes a random one.

    Raises DataError where the file is missing, unreadable, truncated, or no image of 8 or 16 bits.
    """
    pixels = _to_8_bits(_decode(path), path)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, 2::-1])


def read_mask(mask: Mask, height: int, width: int) -> NDArray[np.bool_]:
    """Read a mask as bool [height, width], True where the part is defective: brighter than 127 of 255 in any channel,
    or in a LabelMask anything but 0.

    It is binarised first and then resized to the nearest pixel, half-pixel centres, so that no value is made up.

    Raises DataError as `read_image` does, and where a mask in white is not black but nowhere brighter than 127 (labels
    0 and 1).
    """
    defective = np.asarray(_decode(mask.path) > 0) if isinstance(mask, LabelMask) else _white(mask)
    marked = defective if defective.ndim == 2 else np.any(defective, axis=2)
    rows = (2 * np.arange(height) + 1) * marked.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * marked.shape[1] // (2 * width)
    return np.asarray(marked[np.ix_(rows, columns)])


def read_bytes(path: Path) -> bytes:
    """An image file as it is. Raises DataError where it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError("the image does not exist", path, "check the path") from error
    except IsADirectoryError as error:
        raise DataError("this is a folder, not an image", path, "give an image file") from error
    except OSError as error:
        raise DataError(
            f"the image cannot be read ({error.strerror})", path, "check its permissions and the disk"
        ) from error


def find_images(folder: Path, recursive: bool = False) -> list[Path]:
    """The image files in a folder, and with `recursive` in those below, sorted by name; hidden files are left out.

    Raises DataError where the folder is missing, no folder, not readable, or holds no images.
    """
    if not folder.is_dir():
        what = "this is a file, not a folder" if folder.exists() else "the folder does not exist"
        raise DataError(what, folder, "give a folder of images")
    try:
        inside = list(folder.rglob("*") if recursive else folder.iterdir())
    except OSError as error:
        raise DataError(f"the folder cannot be read ({error.strerror})", folder, "check its permissions") from error
    images = [
        path for path in inside if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not images:
        raise DataError("there are no images", folder, f"put images into it ({' '.join(SUFFIXES)})")
    return sorted(images, key=lambda path: path.relative_to(folder).as_posix())


def _white(path: Path) -> NDArray[np.bool_]:
    """bool [H, W] or [H, W, 3]: where a mask is white."""
    pixels = _to_8_bits(_decode(path), path)
    if 0 < pixels.max() <= 127:
        todo = "paint defects in white (255) on black (0)"
        raise DataError(f"the mask marks nothing: its brightest value is {pixels.max()} of 255", path, todo)
    return np.asarray(pixels > 127)


def _decode(path: Path) -> NDArray[Any]:
    """uint8 or uint16, [H, W] or [H, W, 3], BGR."""
    content = read_bytes(path)
    if not content:
        raise DataError("the image file is empty", path, _REPLACE)
    if jpeg.is_jpeg(content) and not jpeg.is_whole(content):
        raise DataError("the image is truncated", path, _REPLACE)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # more pixels than OpenCV takes
        raise DataError(f"the image cannot be decoded ({error.err})", path, _REPLACE) from error
    if pixels is None:
        raise DataError("the image is damaged, or of a kind that is not known", path, _REPLACE)
    if pixels.ndim == 3 and pixels.shape[2] > 4:
        raise DataError(f"the image has {pixels.shape[2]} channels", path, "save it as gray or RGB")
    if pixels.ndim == 3:  # colour, or gray with alpha
        pixels = pixels[:, :, :3] if pixels.shape[2] > 2 else pixels[:, :, 0]
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"the image holds {pixels.dtype} values", path, "save it with 8 or 16 bits per channel")
    return pixels


def _to_8_bits(pixels: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    brightest = int(pixels.max())
    if 0 < brightest < 4096:  # a 10 or 12 bit camera saved as it is: scaled to 8 bits it would be all but black
        todo = "save it with 8 bits, or scaled to the whole range of 16 bits"
        raise DataError(f"the 16-bit image is all but black: its brightest value is {brightest} of 65535", path, todo)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
