"""sRGB to CIELAB and back: white point D65, observer of 2 degrees, with the constants of scikit-image.

Detectors have it in their graphs, where it has to stay float32 in every precision: a difference of colours is far
smaller than the colours are. So it is elementwise operations alone: what converts a graph to fp16 or INT8 looks for
products of matrices and convolutions, and the 3 x 3 matrices here are written out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from edgead.errors import TrainingError

# IEC 61966-2-1, as in scikit-image; the rows are X, Y and Z, the columns linear R, G and B.
_XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_RGB_OF_XYZ: list[list[float]] = np.linalg.inv(np.array(_XYZ_OF_RGB)).tolist()
_WHITE = (0.95047, 1.0, 1.08883)
_OFFSET = 16 / 116


def srgb_to_lab(rgb: Tensor) -> Tensor:
    """CIELAB of sRGB pictures.

    rgb: float [N, 3, H, W], 0..1; returns float32 [N, 3, H, W], L* from 0 to 100, a* from -86 to 98, b* from -108 to
    94, also under autocast. Raises TrainingError for anything but three channels.
    """
    linear = [
        torch.where(channel > 0.04045, ((channel + 0.055) / 1.055) ** 2.4, channel / 12.92) for channel in _split(rgb)
    ]
    relative = [_weighted(row, linear) / white for row, white in zip(_XYZ_OF_RGB, _WHITE, strict=True)]
    x, y, z = (torch.where(part > 0.008856, part ** (1 / 3), 7.787 * part + _OFFSET) for part in relative)
    return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_srgb(lab: Tensor) -> Tensor:
    """sRGB of CIELAB, to be looked at.

    lab: float [N, 3, H, W]; returns float32 [N, 3, H, W], 0..1. Colours that no screen shows are clipped twice: where
    b* asks for less blue than none, the root of Z becomes 0, and linear R, G and B outside 0..1 become 0 or 1. A
    picture can only show what a screen has. A distance has no such limit: it takes a* and b* as they are. Raises
    TrainingError for anything but three channels.
    """
    lightness, a, b = _split(lab)
    y = (lightness + 16) / 116
    roots = (y + a / 500, y, (y - b / 200).clamp(min=0))
    xyz = [
        torch.where(root > 0.2068966, root**3, (root - _OFFSET) / 7.787) * white
        for root, white in zip(roots, _WHITE, strict=True)
    ]
    linear = [_weighted(row, xyz).clamp(0, 1) for row in _RGB_OF_XYZ]
    return torch.cat(
        [torch.where(part > 0.0031308, 1.055 * part ** (1 / 2.4) - 0.055, 12.92 * part) for part in linear], dim=1
    ).clamp(0, 1)


def _split(picture: Tensor) -> tuple[Tensor, ...]:
    """Three float32 [N, 1, H, W]. No operation on float32 that autocast would change follows."""
    if picture.ndim != 4 or picture.shape[1] != 3:
        raise TrainingError(f"a picture of {tuple(picture.shape)}", "colour conversion", "give [N, 3, H, W]")
    return picture.to(torch.float32).chunk(3, dim=1)


def _weighted(row: Sequence[float], channels: Sequence[Tensor]) -> Tensor:
    first, second, third = (weight * channel for weight, channel in zip(row, channels, strict=True))
    return first + second + third
