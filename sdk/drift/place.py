"""By how much a picture has moved."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Gray: TypeAlias = NDArray[np.float32]
Spectrum: TypeAlias = NDArray[np.complex128]


class Place:
    """Phase correlation (Kuglin & Hines 1975) with one picture, gray, float32 [H, W].

    F and G are the spectra of both pictures, without their means and faded out towards the border. The cross power
    spectrum G F* is divided by its magnitude and its mean magnitude together, instead of its magnitude alone: what is
    weaker than the mean is mostly noise, and does not get a say like the rest.
    """

    def __init__(self, picture: Gray) -> None:
        height, width = picture.shape
        self._fade = np.outer(np.hanning(height), np.hanning(width))
        self._spectrum = self._of(picture)

    def shift(self, picture: Gray) -> tuple[int, int, float]:
        """How far another picture of that size moved to the right and down, in whole pixels, and the response: 1 where
        all frequencies agree, near 0 where none do, as for a picture without contrast."""
        cross = self._of(picture) * self._spectrum.conj()
        power = np.abs(cross)
        share = cross / (power + power.mean() + np.finfo(np.float32).tiny)
        surface = np.fft.irfft2(share, picture.shape)
        y, x = np.unravel_index(int(surface.argmax()), surface.shape)
        agreed = float(np.fft.irfft2(np.abs(share), picture.shape)[0, 0])
        response = float(surface[y, x]) / agreed if agreed > 0 else 0.0
        return _signed(int(x), picture.shape[1]), _signed(int(y), picture.shape[0]), response

    def _of(self, picture: Gray) -> Spectrum:
        return np.asarray(np.fft.rfft2((picture - picture.mean(dtype=np.float64)) * self._fade), np.complex128)


def _signed(place: int, side: int) -> int:
    """A place on a ring of `side` as a way from 0, at most half around."""
    return (place + side // 2) % side - side // 2
